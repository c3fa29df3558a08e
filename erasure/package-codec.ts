import { readFile } from 'node:fs/promises';
import { checkEncode, checkReconstruct, takeTargets } from './codec-arguments.ts';
import type { ErasureCodec } from './erasure-codec.ts';
import { allocateOwnSlots } from './shard-slots.ts';

const modulePath = '@subspace/reed-solomon-erasure.wasm/dist/reed_solomon_erasure_bg.wasm';
/** Holds a row of 4+2 blocks of 256 KiB at once; what is longer is coded in slices. */
const arenaBytes = 2 * 1024 * 1024;

/** TypeScript declares it only together with the whole DOM. */
declare const WebAssembly: { instantiate(bytes: Uint8Array): Promise<{ instance: { exports: unknown } }> };

/** What the package's module exports. Shards lie one after the other at `shards`; 0 means that it went well. */
interface PackageExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  __wbindgen_malloc(bytes: number): number;
  encode(shards: number, shardsBytes: number, k: number, m: number): number;
  /** Frees `flags`. */
  reconstruct(shards: number, shardsBytes: number, k: number, m: number, flags: number, flagCount: number): number;
}

/**
 * The npm package `@subspace/reed-solomon-erasure.wasm`: the Rust crate reed-solomon-erasure in WebAssembly.
 *
 * Its module is used without its JavaScript wrapper (0.2.5), which frees the flags that `reconstruct` has freed already:
 * from then on the heap is corrupt and results are wrong. And since the allocator in it hardly reuses memory when sizes
 * vary (360 MB after 2,000 calls), shards go through one arena of fixed size.
 */
export async function createPackageCodec(): Promise<ErasureCodec> {
  const bytes = await readFile(new URL(import.meta.resolve(modulePath)));
  const { instance } = await WebAssembly.instantiate(bytes);
  return new PackageCodec(instance.exports as PackageExports);
}

class PackageCodec implements ErasureCodec {
  readonly name = 'wasm-package';
  readonly allocateSlots = allocateOwnSlots;
  readonly #wasm: PackageExports;
  readonly #arena: number;
  #memory: Uint8Array;

  constructor(wasm: PackageExports) {
    this.#wasm = wasm;
    this.#arena = wasm.__wbindgen_malloc(arenaBytes);
    this.#memory = new Uint8Array(wasm.memory.buffer);
  }

  encode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
    const shardBytes = checkEncode(data, parity);
    const k = data.length;
    const m = parity.length;
    if (m === 0) return;
    const sliceBytes = Math.floor(arenaBytes / (k + m));
    for (let start = 0; start < shardBytes; start += sliceBytes) {
      const end = Math.min(shardBytes, start + sliceBytes);
      for (let index = 0; index < k; index++) this.#load(data[index]!, index, start, end);
      this.#encodeArena(k, m, end - start);
      for (let row = 0; row < m; row++) this.#store(k + row, parity[row]!, start, end);
    }
  }

  reconstruct(
    shards: readonly (Uint8Array | undefined)[],
    k: number,
    wanted: readonly number[],
    into?: readonly Uint8Array[],
  ): Uint8Array[] {
    const shardBytes = checkReconstruct(shards, k, wanted);
    const rebuilt = takeTargets(into, wanted.length, shardBytes);
    if (wanted.length === 0) return rebuilt;
    const m = shards.length - k;
    const isDataMissing = shards.slice(0, k).includes(undefined);
    const isParityWanted = wanted.some((index) => index >= k);
    const sliceBytes = Math.floor(arenaBytes / (k + m));
    for (let start = 0; start < shardBytes; start += sliceBytes) {
      const end = Math.min(shardBytes, start + sliceBytes);
      for (let index = 0; index < k + m; index++) {
        const shard = shards[index];
        if (shard !== undefined) this.#load(shard, index, start, end);
      }
      if (isDataMissing) this.#reconstructArena(shards, k, end - start);
      // The module rebuilds data only; parity follows from it.
      if (isParityWanted) this.#encodeArena(k, m, end - start);
      for (const [i, index] of wanted.entries()) this.#store(index, rebuilt[i]!, start, end);
    }
    return rebuilt;
  }

  #encodeArena(k: number, m: number, sliceBytes: number): void {
    checkResult(this.#wasm.encode(this.#arena, (k + m) * sliceBytes, k, m), 'encode');
    this.#refreshMemory();
  }

  #reconstructArena(shards: readonly (Uint8Array | undefined)[], k: number, sliceBytes: number): void {
    const count = shards.length;
    const flags = this.#wasm.__wbindgen_malloc(count);
    this.#refreshMemory();
    for (let index = 0; index < count; index++) this.#memory[flags + index] = shards[index] === undefined ? 0 : 1;
    const result = this.#wasm.reconstruct(this.#arena, count * sliceBytes, k, count - k, flags, count);
    checkResult(result, 'reconstruct');
    this.#refreshMemory();
  }

  /** Copies bytes `start` to `end` of a shard to its place in the arena. */
  #load(shard: Uint8Array, index: number, start: number, end: number): void {
    this.#memory.set(shard.subarray(start, end), this.#arena + index * (end - start));
  }

  #store(index: number, shard: Uint8Array, start: number, end: number): void {
    const offset = this.#arena + index * (end - start);
    shard.set(this.#memory.subarray(offset, offset + end - start), start);
  }

  /** Views of the memory are void once it has grown. */
  #refreshMemory(): void {
    if (this.#memory.buffer !== this.#wasm.memory.buffer) this.#memory = new Uint8Array(this.#wasm.memory.buffer);
  }
}

/** The arguments were checked before, so any other result is a fault of the package. */
function checkResult(result: number, call: string): void {
  if (result !== 0) throw new Error(`${call} of the wasm package answered ${result}`);
}
