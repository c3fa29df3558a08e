import { type MemoryLimits, WasmModule } from '../core/wasm/wasm-module.ts';
import { countLookupOperations, emitLookups } from './emit-lookups.ts';
import { countSumOperations, emitSums } from './emit-sums.ts';
import type { Matrix } from './galois-field.ts';
import { planSums } from './plan-sums.ts';

/** What a kernel computes: each output shard is the sum of `rows[output][input]` times the input shards. */
export interface KernelTask {
  readonly rows: Matrix;
  /** Index of the shard that each column stands for, ascending, and of the one that each row stands for. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/**
 * How doubling finds out which bytes carry. `select` takes the polynomial by the highest bit of each byte in one instruction, which WebAssembly
 * leaves open (x86 does it, ARM does not); `compare` takes two that it does not.
 */
export type CarryMethod = 'select' | 'compare';

export interface KernelSetting {
  readonly limits: MemoryLimits;
  readonly carry: CarryMethod;
  /**
   * Whether all is done on two vectors side by side, so that V8 can join them to one of 256 bits. Where it does not, one vector a round is
   * faster by a tenth for sums: the values of two find no room in the registers.
   */
  readonly isPaired: boolean;
}

/** What kernels code is a multiple of this. */
export const kernelStepBytes = 32;

/** Lookups keep the processor busier than sums: they win up to so many times the operations. */
const lookupAdvantage = 1.1;

/**
 * A module that exports `run(base, strideBytes, end)`: shard i lies at base + i * strideBytes, and the columns from base to end, a multiple of
 * `kernelStepBytes`, are coded. It reads nothing else, and writes the output shards only. All outputs come about in one
 * pass over the inputs, by sums (emit-sums.ts) or, where there are so few factors that it is less work, by lookups (emit-lookups.ts).
 */
export function emitKernel(task: KernelTask, setting: KernelSetting): Uint8Array {
  const module = new WasmModule();
  module.importMemory(setting.limits);
  const body = module.addFunction({ params: ['i32', 'i32', 'i32'] }, 'run');
  const plan = planSums(task.rows);
  const lookups = countLookupOperations(task.rows);
  // V8 does not join lookups to 256 bits.
  const isLookingUp = !setting.isPaired && lookups < countSumOperations(plan, setting.carry) * lookupAdvantage;
  if (isLookingUp) emitLookups(body, task);
  else emitSums(body, task, plan, setting);
  return module.encode();
}
