import { LRUCache } from 'lru-cache';
import { Failure, isFailure } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { PlacedShard, ShardCid, Stripe } from '../core/model.ts';
import { storedBlockBytes, storedBlockCount } from '../erasure/geometry.ts';
import {
  type DigestTable,
  digestBytes,
  footerBytes,
  openShardFooter,
  shardBlockOffset,
  shardFooterOffset,
} from '../erasure/shard-format.ts';
import { readKind } from '../placement/call-pace.ts';
import type { Fleet } from '../placement/fleet.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { HedgeBudget } from './hedge-budget.ts';
import { RecentNotes } from './recent-notes.ts';

/** What a cached table costs beside its digests, about. */
const tableOverheadBytes = 200;
const badShardAgeMs = 60_000;
/** A block is late once so many of its provider's calls were quicker. */
const lateShare = 0.95;
/** Below this, timers and a busy event loop say more than the provider does. */
const leastLateMs = 2;
/** Hedges are at most one block more in ten, and so many at once. */
const hedgeShare = 0.1;
const hedgeBurst = 64;

/** Where in a block a piece of it begins. */
export interface PiecePlace {
  readonly shard: PlacedShard;
  readonly row: number;
  readonly offset: number;
}

/** Where the bytes of a small object came from. */
type SmallReadSource = 'memory' | 'provider';

/** Reads single blocks of shards and believes nothing that it cannot verify. */
export class BlockReader {
  readonly #fleet: Fleet;
  readonly #metrics: Metrics;
  readonly #verified: { value: number };
  readonly #smallReads: Readonly<Record<SmallReadSource, { value: number }>>;
  readonly #log: Log;
  readonly #tables: LRUCache<ShardCid, DigestTable>;
  /** Shards that could not be read lately. */
  readonly #badShards = new RecentNotes({ maxNotes: 10_000, ageMs: badShardAgeMs });

  /** What reads may ask for beyond what they need. */
  readonly hedges = new HedgeBudget({ share: hedgeShare, burst: hedgeBurst });

  /** Told of shards that are gone or wrong beyond doubt. */
  readonly #onDamage: (stripe: Stripe, shard: PlacedShard) => void;

  constructor(parts: {
    fleet: Fleet;
    metrics: Metrics;
    log: Log;
    cacheBytes: number;
    onDamage: (stripe: Stripe, shard: PlacedShard) => void;
  }) {
    this.#onDamage = parts.onDamage;
    this.#fleet = parts.fleet;
    this.#metrics = parts.metrics;
    this.#smallReads = {
      memory: parts.metrics.smallReads.series({ source: 'memory' }),
      provider: parts.metrics.smallReads.series({ source: 'provider' }),
    };
    this.#verified = parts.metrics.blocksRead.series({ outcome: 'verified' });
    this.#log = parts.log;
    this.#tables = new LRUCache({ maxSize: parts.cacheBytes });
  }

  /** Whether others should be asked first. */
  isDoubtful({ providerId, cid }: PlacedShard): boolean {
    return this.#fleet.isSuspect(providerId) || this.#badShards.has(noteName(providerId, cid));
  }

  /** Whether others answer so much faster that they should be asked in its place, even if what is wanted must be rebuilt. */
  isSlow({ providerId }: PlacedShard, bytes: number): boolean {
    return this.#fleet.health.isSlow(providerId, readKind(bytes));
  }

  /** How long so many bytes take as a rule, in milliseconds; undefined while that is not known. */
  typicalMs({ providerId }: PlacedShard, bytes: number): number | undefined {
    return this.#fleet.health.of(providerId).typicalMs(readKind(bytes));
  }

  /** How long so many bytes may take before others should be asked as well, in milliseconds; at most `mostMs`. */
  lateAfterMs({ providerId }: PlacedShard, bytes: number, mostMs: number): number {
    const usualMs = this.#fleet.health.of(providerId).quantileMs(readKind(bytes), lateShare);
    return usualMs === undefined ? mostMs : Math.min(Math.max(usualMs, leastLateMs), mostMs);
  }

  /** Says that so many bytes did not come in time. */
  noteLate({ providerId }: PlacedShard, bytes: number, elapsedMs: number): void {
    this.#fleet.health.of(providerId).late(readKind(bytes), elapsedMs);
  }

  /** Whether there is anybody to ask. */
  isReachable({ providerId }: PlacedShard): boolean {
    return this.#fleet.find(providerId) !== undefined;
  }

  /**
   * The stored bytes of a shard's block in `row`, verified. The buffer belongs to the caller.
   *
   * @throws Failure `shard-corrupt`, or what the provider throws; the signal's reason
   */
  async readBlock(stripe: Stripe, shard: PlacedShard, row: number, signal: AbortSignal): Promise<Uint8Array> {
    const provider = this.#fleet.find(shard.providerId);
    if (provider === undefined) throw new Failure('shard-missing', shard);
    try {
      const block = await this.#fetch(provider, stripe, shard, row, signal);
      this.#verified.value++;
      return block;
    } catch (error) {
      this.#noteFailure(stripe, shard, error, signal);
      throw error;
    }
  }

  /**
   * Some bytes of a block, as they come: not verified, which is for the caller to do by their tags. The buffer belongs to
   * the caller.
   *
   * @throws what the provider throws; the signal's reason
   */
  async readPiece(
    stripe: Stripe,
    { shard, row, offset }: PiecePlace,
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const provider = this.#fleet.find(shard.providerId);
    if (provider === undefined) throw new Failure('shard-missing', shard);
    return provider.readShard(shard.cid, shardBlockOffset(stripe, row) + offset, length, signal);
  }

  /** Counts a read of a small object. */
  noteSmallRead(source: SmallReadSource): void {
    this.#smallReads[source].value++;
  }

  /** Counts blocks, or pieces of them, that were proven elsewhere. */
  noteVerified(count: number): void {
    this.#verified.value += count;
  }

  /** As `readPiece`, for pieces of a row's blocks; a failure is noted, since nobody else will ask for the block. */
  async readPieceOfRow(stripe: Stripe, place: PiecePlace, length: number, signal: AbortSignal): Promise<Uint8Array> {
    try {
      const bytes = await this.readPiece(stripe, place, length, signal);
      if (bytes.length !== length) throw corrupt(place.shard, `${bytes.length} bytes came in the place of ${length}`);
      return bytes;
    } catch (error) {
      this.#noteFailure(stripe, place.shard, error, signal);
      throw error;
    }
  }

  async #fetch(
    provider: Provider,
    stripe: Stripe,
    shard: PlacedShard,
    row: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { index, cid } = shard;
    const offset = shardBlockOffset(stripe, row);
    const blockBytes = storedBlockBytes(stripe, index, row);
    const known = this.#tables.get(cid);
    if (known !== undefined) {
      return verify(known, row, await provider.readShard(cid, offset, blockBytes, signal), shard);
    }
    const footerLength = footerBytes(stripe, index);
    const blockCount = storedBlockCount(stripe, index);
    if (row === blockCount - 1) {
      // Block and footer lie side by side, and a small object is one block: one call reads all there is.
      const bytes = await provider.readShard(cid, offset, blockBytes + footerLength, signal);
      // A copy, since a table that is kept must not keep the block too, whose memory belongs to the caller.
      const table = this.#openFooter(stripe, shard, bytes.slice(blockBytes));
      if (blockCount > 1) this.#keep(cid, table, blockCount);
      return verify(table, row, bytes.subarray(0, blockBytes), shard);
    }
    const [block, footer] = await Promise.all([
      provider.readShard(cid, offset, blockBytes, signal),
      provider.readShard(cid, shardFooterOffset(stripe, index), footerLength, signal),
    ]);
    const table = this.#openFooter(stripe, shard, footer);
    this.#keep(cid, table, blockCount);
    return verify(table, row, block, shard);
  }

  #openFooter(stripe: Stripe, shard: PlacedShard, footer: Uint8Array): DigestTable {
    const { id: stripeId, profileName, k, m, blockBytes } = stripe;
    const identity = { stripeId, profileName, k, m, index: shard.index, blockBytes };
    const table = openShardFooter(identity, stripe, footer, shard.cid);
    if (table === undefined) throw corrupt(shard, 'the footer is not the one that the shard is named after');
    return table;
  }

  #keep(cid: ShardCid, table: DigestTable, blockCount: number): void {
    this.#tables.set(cid, table, { size: blockCount * digestBytes + tableOverheadBytes });
  }

  #noteFailure(stripe: Stripe, { index, providerId, cid }: PlacedShard, error: unknown, signal: AbortSignal): void {
    // Others were quicker, or nobody wants the block any more.
    if (signal.aborted) return;
    const outcome = isFailure(error) ? error.kind : 'error';
    this.#metrics.blocksRead.inc({ outcome });
    if (outcome === 'shard-corrupt' || outcome === 'shard-missing') {
      this.#onDamage(stripe, { index, providerId, cid });
    }
    if (!this.#badShards.note(noteName(providerId, cid))) return;
    this.#log.warn({ stripe: stripe.id, shard: index, provider: providerId, cid, err: error }, 'shard cannot be read');
  }
}

function verify(table: DigestTable, row: number, block: Uint8Array, shard: PlacedShard): Uint8Array {
  if (!table.matches(row, block)) throw corrupt(shard, `block ${row} does not have its digest`);
  return block;
}

function corrupt({ providerId, cid }: PlacedShard, reason: string): Failure {
  return new Failure('shard-corrupt', { providerId, cid, reason });
}

function noteName(providerId: string, cid: string): string {
  return `${providerId} ${cid}`;
}
