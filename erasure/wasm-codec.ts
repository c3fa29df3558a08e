import { copyBytes } from '../core/copy-bytes.ts';
import { type CompiledWasm, compileWasm } from '../core/wasm/compile-wasm.ts';
import type { MemoryLimits } from '../core/wasm/wasm-module.ts';
import { checkEncode, checkReconstruct, takeTargets } from './codec-arguments.ts';
import { type Coding, CodingCache } from './coding-cache.ts';
import { kernelStepBytes } from './emit-kernel.ts';
import { emitTableKernel } from './emit-table-kernel.ts';
import type { ErasureCodec, ShardSlots } from './erasure-codec.ts';
import { KernelCompiler } from './kernel-compiler.ts';
import { kernelHeaderBytes, tailDesk } from './kernel-memory.ts';
import { KernelRegion, type ShardPlace, splitTail } from './kernel-region.ts';
import { cutSlots, slotsBytes } from './shard-slots.ts';

export interface WasmCodecSetting {
  /** Whether its slots are shared memory, which worker threads can have as well. */
  readonly isShared?: boolean;
  /** Whether V8 shall make 256-bit operations of kernels; see with-revectorizing.ts. */
  readonly isRevectorizing?: boolean;
  /** A pattern of lost shards gets a kernel of its own after so many bytes of each shard; until then tables do. */
  readonly compileFromBytes?: number;
}

/** Address space comes in pieces of so much; memory is taken only where slots were touched. */
const regionBytes = 16 * 1024 * 1024;
/** Shards from elsewhere are copied to the desk in slices, which must find room in the second-level cache together. */
const deskBytes = 512 * 1024;
const deskPaddingBytes = 64;
/** Beyond so many factors kernels become long, and compiling them is noticed: 16 inputs and 16 outputs. */
const maxKernelFactors = 256;
/** From about there on compiling pays, against tables. */
const defaultCompileFromBytes = 256 * 1024;
/** An import fits any memory up to its own limits, and shared memory must have one. */
const sharedLimits: MemoryLimits = { minPages: 1, maxPages: 65_536, shared: true };
const ownLimits: MemoryLimits = { minPages: 1 };

/**
 * WebAssembly with 128-bit vectors, a kernel for each matrix, emitted when it is needed (emit-kernel.ts).
 *
 * @throws CompileError where the engine knows no such vectors
 */
export function createWasmCodec(setting: WasmCodecSetting = {}): ErasureCodec {
  return new WasmCodec(setting);
}

class WasmCodec implements ErasureCodec {
  readonly name: string;
  readonly #isShared: boolean;
  readonly #compileFromBytes: number;
  readonly #table: CompiledWasm;
  readonly #compiler: KernelCompiler;
  readonly #codings = new CodingCache();
  readonly #desk: KernelRegion;
  /** Where slots lie, by their buffer. */
  readonly #regions = new Map<ArrayBufferLike, KernelRegion>();

  constructor({
    isShared = false,
    isRevectorizing = false,
    compileFromBytes = defaultCompileFromBytes,
  }: WasmCodecSetting) {
    this.name = isRevectorizing ? 'wasm-simd-256' : 'wasm-simd';
    this.#isShared = isShared;
    this.#compileFromBytes = compileFromBytes;
    const limits = isShared ? sharedLimits : ownLimits;
    this.#table = compileWasm(emitTableKernel(limits));
    this.#desk = this.#createRegion(deskBytes);
    this.#compiler = new KernelCompiler({ desk: this.#desk, limits, isRevectorizing });
  }

  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    const shardBytes = checkEncode(data, parity);
    if (parity.length === 0) return;
    this.#code(this.#codings.forEncode(data.length, parity.length), [...data, ...parity], shardBytes);
  }

  reconstruct(
    shards: readonly (Uint8Array | undefined)[],
    k: number,
    wanted: readonly number[],
    into?: readonly Uint8Array[],
  ): Uint8Array[] {
    const shardBytes = checkReconstruct(shards, k, wanted);
    const targets = takeTargets(into, wanted.length, shardBytes);
    if (wanted.length === 0) return targets;
    const all = [...shards];
    for (const [at, index] of wanted.entries()) all[index] = targets[at];
    this.#code(this.#codings.forReconstruct(shards, k, wanted), all, shardBytes);
    return targets;
  }

  allocateSlots(count: number, slotBytes: number): ShardSlots {
    const bytes = slotsBytes(count, slotBytes);
    const { region, offset } = this.#takeSpace(bytes);
    let isTaken = true;
    const release = (): void => {
      if (isTaken) this.#giveBack(region, offset, bytes);
      isTaken = false;
    };
    return { views: cutSlots(region.buffer, offset, count, slotBytes), bytes, release };
  }

  #code(coding: Coding, shards: readonly (Uint8Array | undefined)[], shardBytes: number): void {
    const region = this.#regions.get(shards[coding.task.inputs[0]!]!.buffer);
    const place = region && locateShards(coding, shards, shardBytes);
    if (region && place) this.#codeInPlace(region, coding, place);
    else this.#codeOnDesk(coding, shards, shardBytes);
  }

  #codeInPlace(region: KernelRegion, coding: Coding, place: ShardPlace): void {
    const { wholeBytes, tailBytes } = splitTail(place.bytes);
    if (wholeBytes > 0) this.#run(region, coding, { ...place, bytes: wholeBytes });
    if (tailBytes === 0) return;
    // What follows the tail of a shard may be another's, so it is coded elsewhere.
    const { inputs, outputs } = coding.task;
    for (const shard of inputs) {
      const tail = place.base + shard * place.strideBytes + wholeBytes;
      region.bytes.copyWithin(tailDesk.offset + shard * tailDesk.strideBytes, tail, tail + tailBytes);
    }
    this.#run(region, coding, { base: tailDesk.offset, strideBytes: tailDesk.strideBytes, bytes: kernelStepBytes });
    for (const shard of outputs) {
      const coded = tailDesk.offset + shard * tailDesk.strideBytes;
      region.bytes.copyWithin(place.base + shard * place.strideBytes + wholeBytes, coded, coded + tailBytes);
    }
  }

  #codeOnDesk(coding: Coding, shards: readonly (Uint8Array | undefined)[], shardBytes: number): void {
    const { inputs, outputs } = coding.task;
    const desk = Buffer.from(this.#desk.buffer);
    const roomBytes = splitTail(Math.floor(deskBytes / shards.length) - deskPaddingBytes).wholeBytes;
    const strideBytes = roomBytes + deskPaddingBytes;
    const at = (shard: number): number => kernelHeaderBytes + shard * strideBytes;
    for (let start = 0; start < shardBytes; start += roomBytes) {
      const sliceBytes = Math.min(roomBytes, shardBytes - start);
      for (const shard of inputs) copyBytes(desk, shards[shard]!.subarray(start, start + sliceBytes), at(shard));
      const bytes = Math.ceil(sliceBytes / kernelStepBytes) * kernelStepBytes;
      this.#run(this.#desk, coding, { base: kernelHeaderBytes, strideBytes, bytes });
      for (const shard of outputs) {
        // `copy` writes into shared memory three times as fast as `set` does, and reads from it a third as fast.
        if (this.#isShared) shards[shard]!.set(desk.subarray(at(shard), at(shard) + sliceBytes), start);
        else desk.copy(shards[shard]!, start, at(shard), at(shard) + sliceBytes);
      }
    }
  }

  #run(region: KernelRegion, coding: Coding, place: ShardPlace): void {
    if (coding.kernel === undefined && coding.codedBytes >= this.#compileFromBytes) {
      const { rows, inputs } = coding.task;
      const isSmall = rows.length * inputs.length <= maxKernelFactors;
      coding.kernel = (isSmall ? this.#compiler.compile(coding.task) : undefined) ?? 'none';
    }
    if (coding.kernel !== undefined && coding.kernel !== 'none') region.run(coding.kernel, place);
    else region.runByTable(coding.task, place);
    coding.codedBytes += place.bytes;
  }

  #takeSpace(bytes: number): { region: KernelRegion; offset: number } {
    for (const region of this.#regions.values()) {
      const offset = region.space.take(bytes);
      if (offset !== undefined) return { region, offset };
    }
    const region = this.#createRegion(Math.max(bytes, regionBytes));
    this.#regions.set(region.buffer, region);
    return { region, offset: region.space.take(bytes)! };
  }

  /** One empty region is kept for what comes next; the memory of others goes back to the system. */
  #giveBack(region: KernelRegion, offset: number, bytes: number): void {
    region.space.giveBack(offset, bytes);
    const isEmpty = (each: KernelRegion): boolean => each.space.isWhole;
    const empty = [...this.#regions.values()].filter(isEmpty);
    if (isEmpty(region) && empty.length > 1) this.#regions.delete(region.buffer);
  }

  #createRegion(shardsBytes: number): KernelRegion {
    return new KernelRegion({ shardsBytes, isShared: this.#isShared, table: this.#table });
  }
}

/** @returns undefined unless all shards of the call lie in one buffer at one distance, in order of index */
function locateShards(
  { task: { inputs, outputs } }: Coding,
  shards: readonly (Uint8Array | undefined)[],
  bytes: number,
): ShardPlace | undefined {
  const first = inputs[0]!;
  const second = inputs[1] ?? outputs[0]!;
  const { buffer, byteOffset } = shards[first]!;
  const strideBytes = (shards[second]!.byteOffset - byteOffset) / (second - first);
  const base = byteOffset - first * strideBytes;
  if (!Number.isInteger(strideBytes) || strideBytes < bytes || base < 0) return undefined;
  const isInPlace = (shard: number): boolean => {
    const view = shards[shard]!;
    return view.buffer === buffer && view.byteOffset === base + shard * strideBytes;
  };
  return inputs.every(isInPlace) && outputs.every(isInPlace) ? { base, strideBytes, bytes } : undefined;
}
