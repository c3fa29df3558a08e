/** Checks that every codec makes, so that all refuse the same calls (see erasure-codec.ts). */

/** GF(2^8) has this many elements, one for each row of the matrix. */
const maxShards = 256;

/** @throws RangeError unless there is at least one data shard and all have one length, above 0 */
export function checkEncode(data: readonly Uint8Array[], parity: readonly Uint8Array[]): number {
  checkCounts(data.length, parity.length);
  const shardBytes = data[0]!.length;
  for (const shard of data) checkLength(shard, shardBytes);
  for (const shard of parity) checkLength(shard, shardBytes);
  return shardBytes;
}

/**
 * @returns the length of the shards
 * @throws RangeError unless at least k shards of one length are at hand and the wanted ones are not among them
 */
export function checkReconstruct(
  shards: readonly (Uint8Array | undefined)[],
  k: number,
  wanted: readonly number[],
): number {
  checkCounts(k, shards.length - k);
  let shardBytes = 0;
  let present = 0;
  for (const shard of shards) {
    if (shard === undefined) continue;
    if (present === 0) shardBytes = shard.length;
    checkLength(shard, shardBytes);
    present += 1;
  }
  if (present < k) throw new RangeError(`${present} shards at hand, ${k} needed`);
  for (const index of wanted) {
    const isMissing = Number.isInteger(index) && index >= 0 && index < shards.length && shards[index] === undefined;
    if (!isMissing) throw new RangeError(`shard ${index} cannot be wanted`);
  }
  if (new Set(wanted).size !== wanted.length) throw new RangeError('a shard is wanted twice');
  return shardBytes;
}

/** The buffers to rebuild into: those given, or new ones. @throws RangeError unless there is one of the right length for each */
export function takeTargets(into: readonly Uint8Array[] | undefined, count: number, shardBytes: number): Uint8Array[] {
  // Not from Node's pool, since they may be kept for long, and not zeroed, since all of it is overwritten.
  if (into === undefined) return Array.from({ length: count }, () => Buffer.allocUnsafeSlow(shardBytes));
  if (into.length !== count) throw new RangeError(`${into.length} buffers for ${count} shards`);
  for (const target of into) checkLength(target, shardBytes);
  return [...into];
}

function checkCounts(k: number, m: number): void {
  if (!Number.isInteger(k) || k < 1 || m < 0 || k + m > maxShards) throw new RangeError(`no code of ${k}+${m} shards`);
}

function checkLength(shard: Uint8Array, shardBytes: number): void {
  if (shard.length !== shardBytes || shardBytes === 0) {
    throw new RangeError(`a shard of ${shard.length} bytes among shards of ${shardBytes}`);
  }
}
