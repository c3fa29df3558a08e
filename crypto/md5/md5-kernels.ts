import { compileWasm, createWasmMemory, instantiateWasm, wasmPageBytes } from '../../core/wasm/compile-wasm.ts';
import { WasmModule } from '../../core/wasm/wasm-module.ts';
import { emitScalarKernel } from './emit-scalar-kernel.ts';
import { emitVectorKernel, groupLanes, vectorConstant } from './emit-vector-kernel.ts';
import { constantsAt, kernelMemoryBytes, laneEntryBytes, laneTableAt } from './md5-memory.ts';
import { md5Steps } from './md5-steps.ts';

/** How many streams a kernel hashes at once. */
export const kernelWidths = [1, 2, 4, 8] as const;
export type KernelWidth = (typeof kernelWidths)[number];
export const maxKernelWidth = 8;

/** Where a stream's next blocks and its state are, as addresses in the kernels' memory. */
export interface LaneAddress {
  readonly dataAt: number;
  readonly stateAt: number;
}

/** MD5 of several streams at once, each in a lane of its own, over one memory that they share with the caller. */
export interface Md5Kernels {
  /** All of it; what lies below `kernelMemoryBytes` belongs to the kernels. */
  readonly memory: ArrayBuffer;
  /**
   * Hashes the next `blocks` blocks of 64 bytes of each lane, and writes the states on. At once, and never throws.
   *
   * @param width at least as many as there are lanes; the rest is wasted
   * @param lanes 1 to `width` of them, each of another stream
   */
  run(width: KernelWidth, lanes: readonly LaneAddress[], blocks: number): void;
}

/**
 * Emits and compiles the kernels, with a memory that holds `ownBytes` of the caller's. Takes a few milliseconds.
 *
 * @throws CompileError where the machine has no vectors; RangeError where there is not so much memory
 */
export function createMd5Kernels(ownBytes: number): Md5Kernels {
  const minPages = Math.ceil((kernelMemoryBytes + ownBytes) / wasmPageBytes);
  const memory = createWasmMemory({ minPages, maxPages: minPages });
  const run = instantiateWasm<Record<string, (blocks: number) => void>>(compileWasm(emitKernels(minPages)), memory);
  const byWidth = new Map(kernelWidths.map((width) => [width, run[nameOf(width)]!]));
  const laneTable = new Uint32Array(memory.buffer, laneTableAt, (maxKernelWidth * laneEntryBytes) / 4);
  return {
    memory: memory.buffer,
    run(width, lanes, blocks) {
      if (!(lanes.length >= 1 && lanes.length <= width)) throw new RangeError(`${lanes.length} lanes of ${width}`);
      // The kernel counts down to 0.
      if (!(blocks >= 1)) return;
      for (let lane = 0; lane < width; lane++) {
        // A lane without a stream does what the first does once more, with the same outcome.
        const { dataAt, stateAt } = lanes[lane] ?? lanes[0]!;
        laneTable[2 * lane] = dataAt;
        laneTable[2 * lane + 1] = stateAt;
      }
      byWidth.get(width)!(blocks);
    },
  };
}

/** The module's bytes: about 25 KB, and a function for each width. */
function emitKernels(minPages: number): Uint8Array<ArrayBuffer> {
  const module = new WasmModule();
  module.importMemory({ minPages, maxPages: minPages });
  module.addData(constantsAt, new Uint8Array(Uint32Array.from(md5Steps.flatMap(splatConstant)).buffer));
  for (const width of kernelWidths) {
    const body = module.addFunction({ params: ['i32'] }, nameOf(width));
    if (width === 1 || width === 2) emitScalarKernel(body, width);
    else emitVectorKernel(body, width / groupLanes);
  }
  return module.encode();
}

function splatConstant(step: (typeof md5Steps)[number]): number[] {
  return Array<number>(groupLanes).fill(vectorConstant(step));
}

function nameOf(width: KernelWidth): string {
  return `md5x${width}`;
}
