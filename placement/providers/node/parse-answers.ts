import { digestOfCid } from '../../../core/cid-digest.ts';
import type { ShardCid } from '../../../core/model.ts';
import { type Capacity, maxRootBytes, type ShardPage, type ShardStat } from '../provider.ts';

/**
 * What a node's JSON answers must look like. Each throws a TypeError or RangeError for what it does not understand: a
 * node is a stranger.
 */
type Answer = Readonly<Record<string, unknown>>;

/** The longest cursor that is taken, which is sent back as it came. */
const maxCursorCharacters = 512;

export function parseUpload({ upload }: Answer): string {
  if (typeof upload !== 'string' || !/^[0-9a-f]{32}$/.test(upload)) throw new TypeError('no upload');
  return upload;
}

/** @param asked the most shards that were asked for, and from where: a page that leads back to itself would never end */
export function parsePage(
  { shards, cursor }: Answer,
  { limit, cursor: askedCursor }: { limit: number; cursor: string | undefined },
): ShardPage {
  if (!Array.isArray(shards) || shards.length > limit) throw new TypeError(`no list of up to ${limit} shards`);
  const page = shards.map(parsePageShard);
  if (cursor === undefined) return { shards: page };
  if (typeof cursor !== 'string' || cursor.length > maxCursorCharacters || cursor === askedCursor) {
    throw new TypeError('no cursor');
  }
  return { shards: page, cursor };
}

function parsePageShard(value: unknown): ShardStat & { cid: ShardCid } {
  if (!Array.isArray(value)) throw new TypeError('no shard');
  const [cid, bytes, modifiedAtMs] = value as unknown[];
  if (typeof cid !== 'string' || digestOfCid(cid) === undefined) throw new TypeError('no name of a shard');
  if (!Number.isFinite(modifiedAtMs) || (modifiedAtMs as number) < 0) throw new TypeError('no time');
  return { cid: cid as ShardCid, bytes: parseCount(bytes), modifiedAtMs: modifiedAtMs as number };
}

export function parseRoot({ root }: Answer): Uint8Array | undefined {
  if (root === null) return undefined;
  if (typeof root !== 'string') throw new TypeError('no root');
  const bytes = Buffer.from(root, 'base64');
  if (bytes.length > maxRootBytes || bytes.toString('base64') !== root) throw new TypeError('no root');
  return bytes;
}

export function parseReclaim({ more }: Answer): boolean {
  if (typeof more !== 'boolean') throw new TypeError('neither more nor done');
  return more;
}

export function parseCapacity({ totalBytes, freeBytes }: Answer): Capacity {
  return { totalBytes: parseCount(totalBytes), freeBytes: parseCount(freeBytes) };
}

function parseCount(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new TypeError('no number of bytes');
  return value as number;
}
