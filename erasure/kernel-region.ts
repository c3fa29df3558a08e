import {
  type CompiledWasm,
  createWasmMemory,
  instantiateWasm,
  type WasmMemory,
  wasmPageBytes,
} from '../core/wasm/compile-wasm.ts';
import { type KernelTask, kernelStepBytes } from './emit-kernel.ts';
import { FreeSpace } from './free-space.ts';
import { fillKernelHeader, kernelHeaderBytes } from './kernel-memory.ts';

/** Where the shards of a call lie: shard i at base + i * strideBytes, `bytes` of each. */
export interface ShardPlace {
  readonly base: number;
  readonly strideBytes: number;
  readonly bytes: number;
}

interface TableExports {
  multiply(input: number, output: number, inputEnd: number, factor: number): void;
  multiplyAdd(input: number, output: number, inputEnd: number, factor: number): void;
}

type RunKernel = (base: number, strideBytes: number, end: number) => void;

/** So many bytes of each output are worked on at a time, so that they are found in the nearest cache again for the next input. */
const tableSliceBytes = 8192;

/**
 * One memory that kernels work in. It has its full length from the start, since the views of a memory that grows are void; the system
 * gives it pages when they are first touched. It goes when nobody refers to it or a view of it.
 */
export class KernelRegion {
  readonly bytes: Uint8Array;
  readonly space: FreeSpace;
  readonly #memory: WasmMemory;
  readonly #table: TableExports;
  readonly #runs = new WeakMap<CompiledWasm, RunKernel>();

  constructor({ shardsBytes, isShared, table }: { shardsBytes: number; isShared: boolean; table: CompiledWasm }) {
    const pages = Math.ceil((kernelHeaderBytes + shardsBytes) / wasmPageBytes);
    const limits = { minPages: pages, maxPages: pages };
    this.#memory = isShared
      ? createWasmMemory({ ...limits, shared: true })
      : createWasmMemory({ ...limits, shared: false });
    this.bytes = new Uint8Array(this.#memory.buffer);
    fillKernelHeader(this.bytes);
    this.space = new FreeSpace({ offset: kernelHeaderBytes, bytes: this.bytes.length - kernelHeaderBytes });
    this.#table = instantiateWasm<TableExports>(table, this.#memory);
  }

  get buffer(): ArrayBufferLike {
    return this.#memory.buffer;
  }

  /** @param place its bytes are a multiple of `kernelStepBytes` */
  run(kernel: CompiledWasm, { base, strideBytes, bytes }: ShardPlace): void {
    let run = this.#runs.get(kernel);
    if (run === undefined) {
      run = instantiateWasm<{ run: RunKernel }>(kernel, this.#memory).run;
      this.#runs.set(kernel, run);
    }
    run(base, strideBytes, base + bytes);
  }

  /** The same by tables, without a kernel. */
  runByTable({ rows, inputs, outputs }: KernelTask, { base, strideBytes, bytes }: ShardPlace): void {
    for (let start = base; start < base + bytes; start += tableSliceBytes) {
      const sliceBytes = Math.min(tableSliceBytes, base + bytes - start);
      for (const [row, output] of outputs.entries()) {
        const target = start + output * strideBytes;
        for (const [column, input] of inputs.entries()) {
          const source = start + input * strideBytes;
          const factor = rows[row]![column]!;
          if (column === 0) this.#table.multiply(source, target, source + sliceBytes, factor);
          else if (factor !== 0) this.#table.multiplyAdd(source, target, source + sliceBytes, factor);
        }
      }
    }
  }
}

/** As many bytes as kernels can code at once, and how many remain. */
export function splitTail(bytes: number): { wholeBytes: number; tailBytes: number } {
  const tailBytes = bytes % kernelStepBytes;
  return { wholeBytes: bytes - tailBytes, tailBytes };
}
