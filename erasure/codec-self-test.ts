import type { Profile } from '../core/model.ts';
import type { ErasureCodec } from './erasure-codec.ts';
import { createReferenceCodec } from './reference-codec.ts';

/** Around the widths of vectors, so that a kernel's tails are seen too; the longest one holds every byte value. */
const testLengths = [1, 15, 16, 17, 31, 64, 257];
/** Around the shards in a slot, where nothing may be written. */
const marginBytes = 40;

/**
 * Proves at start-up that a codec gives the bytes that the format demands, on this machine and for this profile: a
 * wrong one would write stripes that no other could read. Takes a few milliseconds for usual profiles.
 *
 * @throws Error that says what differed
 */
export function selfTestCodec(codec: ErasureCodec, profile: Pick<Profile, 'k' | 'm'>): void {
  const reference = createReferenceCodec();
  for (const shardBytes of testLengths) {
    const golden = Array.from({ length: profile.k + profile.m }, (_, index) => sampleShard(index, shardBytes));
    reference.encode(golden.slice(0, profile.k), golden.slice(profile.k));
    testEncode(codec, profile, golden, shardBytes);
    testReconstruct(codec, profile, golden, shardBytes);
  }
}

function testEncode(
  codec: ErasureCodec,
  { k, m }: Pick<Profile, 'k' | 'm'>,
  golden: readonly Uint8Array[],
  shardBytes: number,
): void {
  const apart = Array.from({ length: m }, () => new Uint8Array(shardBytes).fill(0xa5));
  codec.encode(golden.slice(0, k), apart);
  const run = new Uint8Array((k + m) * shardBytes);
  const joined = golden.map((_, index) => run.subarray(index * shardBytes, (index + 1) * shardBytes));
  for (let index = 0; index < k; index++) joined[index]!.set(golden[index]!);
  codec.encode(joined.slice(0, k), joined.slice(k));
  for (let row = 0; row < m; row++) {
    expectSame(codec, apart[row]!, golden[k + row]!, `parity ${row}`);
    expectSame(codec, joined[k + row]!, golden[k + row]!, `parity ${row} in one buffer`);
  }
  testSlots(codec, { k, m }, golden, shardBytes);
}

/** In memory of its own a codec may work otherwise. */
function testSlots(
  codec: ErasureCodec,
  { k, m }: Pick<Profile, 'k' | 'm'>,
  golden: readonly Uint8Array[],
  shardBytes: number,
): void {
  const slots = codec.allocateSlots(k + m, shardBytes + 2 * marginBytes);
  for (const [index, view] of slots.views.entries()) {
    view.fill(0xa5);
    if (index < k) view.set(golden[index]!, marginBytes);
  }
  const shards = slots.views.map((view) => view.subarray(marginBytes, marginBytes + shardBytes));
  codec.encode(shards.slice(0, k), shards.slice(k));
  for (const [index, view] of slots.views.entries()) {
    const expected = new Uint8Array(view.length).fill(0xa5);
    expected.set(golden[index]!, marginBytes);
    expectSame(codec, view, expected, `shard ${index} in its slot`);
  }
  slots.release();
}

/** Loses m neighbours at every place, so that every shard is rebuilt and every one is used. */
function testReconstruct(
  codec: ErasureCodec,
  { k, m }: Pick<Profile, 'k' | 'm'>,
  golden: readonly Uint8Array[],
  shardBytes: number,
): void {
  for (let first = 0; first < k + m; first++) {
    const lost = Array.from({ length: m }, (_, i) => (first + i) % (k + m));
    const shards = golden.map((shard, index) => (lost.includes(index) ? undefined : shard));
    const rebuilt = codec.reconstruct(shards, k, lost);
    for (const [i, index] of lost.entries()) {
      expectSame(codec, rebuilt[i], golden[index]!, `shard ${index} without ${lost} at ${shardBytes} bytes`);
    }
  }
}

function expectSame(codec: ErasureCodec, actual: Uint8Array | undefined, expected: Uint8Array, what: string): void {
  if (actual === undefined || Buffer.compare(actual, expected) !== 0) {
    throw new Error(`erasure codec ${codec.name} fails its self-test: wrong bytes for ${what}`);
  }
}

/** All byte values, differently scattered for each shard. */
function sampleShard(index: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 167 + index * 59 + (i >> 3)) & 0xff);
}
