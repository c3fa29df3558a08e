import { type CompiledWasm, compileWasm } from '../core/wasm/compile-wasm.ts';
import type { MemoryLimits } from '../core/wasm/wasm-module.ts';
import { type CarryMethod, emitKernel, type KernelTask } from './emit-kernel.ts';
import { tailDesk } from './kernel-memory.ts';
import type { KernelRegion } from './kernel-region.ts';
import { withRevectorizing } from './with-revectorizing.ts';

/** In a place of the tail desk there is room for two steps and more. */
const provenBytes = 64;

/**
 * Makes kernels, and lets none out whose bytes differ from those that the tables give: whatever a machine or an engine
 * does otherwise is found before it can do harm.
 */
export class KernelCompiler {
  readonly #desk: KernelRegion;
  readonly #limits: MemoryLimits;
  readonly #isRevectorizing: boolean;
  #carry: CarryMethod;

  /** @param parts `desk`: where kernels are tried out */
  constructor(parts: { desk: KernelRegion; limits: MemoryLimits; isRevectorizing: boolean }) {
    this.#desk = parts.desk;
    this.#limits = parts.limits;
    this.#isRevectorizing = parts.isRevectorizing;
    // One input times 2 is one doubling, and shows whether the quick way works on this machine.
    this.#carry = 'select';
    const doubling = { rows: [Uint8Array.of(2)], inputs: [0], outputs: [1] };
    if (this.#compileProven(doubling) === undefined) this.#carry = 'compare';
  }

  /** @returns undefined where no kernel gives the right bytes; tables do then */
  compile(task: KernelTask): CompiledWasm | undefined {
    return this.#compileProven(task);
  }

  #compileProven(task: KernelTask): CompiledWasm | undefined {
    const setting = { limits: this.#limits, carry: this.#carry, isPaired: this.#isRevectorizing };
    const bytes = emitKernel(task, setting);
    const make = (): CompiledWasm | undefined => {
      const kernel = compileOrRefuse(bytes);
      return kernel !== undefined && this.#isProven(kernel, task) ? kernel : undefined;
    };
    return this.#isRevectorizing ? withRevectorizing(make) : make();
  }

  #isProven(kernel: CompiledWasm, task: KernelTask): boolean {
    const place = { base: tailDesk.offset, strideBytes: tailDesk.strideBytes, bytes: provenBytes };
    const view = (shard: number): Uint8Array => {
      const start = place.base + shard * place.strideBytes;
      return this.#desk.bytes.subarray(start, start + place.strideBytes);
    };
    for (const shard of task.inputs) fillSample(view(shard), shard);
    for (const shard of task.outputs) view(shard).fill(0);
    this.#desk.run(kernel, place);
    const outputs = task.outputs.map((shard) => Uint8Array.from(view(shard)));
    this.#desk.runByTable(task, place);
    return task.outputs.every((shard, at) => Buffer.compare(view(shard), outputs[at]!) === 0);
  }
}

/** Engines refuse modules with instructions that they do not know. */
function compileOrRefuse(bytes: Uint8Array): CompiledWasm | undefined {
  try {
    return compileWasm(bytes);
  } catch {
    return undefined;
  }
}

/** All bits in all places, differently for each shard. */
function fillSample(view: Uint8Array, shard: number): void {
  for (let at = 0; at < view.length; at++) view[at] = Math.imul(at * 256 + shard + 1, 0x9e3779b1) >>> 24;
}
