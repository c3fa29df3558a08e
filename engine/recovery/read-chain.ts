import type { MasterKey } from '../../crypto/master-key.ts';
import type { MetadataRecord } from '../../metadata/record-store.ts';
import { type BatchHeader, decodeBatch } from './journal-batch.ts';
import { followShards, type StripeReadParts } from './read-stripe.ts';
import { readSystemObject } from './read-system-object.ts';
import { decodeChunk } from './snapshot-chunk.ts';
import { measureStripe, type SystemLocation } from './system-location.ts';
import { SystemStripes } from './system-stripes.ts';

/** All that makes up the metadata at the time of one batch: a snapshot, if there is one, and the batches since it began. */
export interface Chain {
  readonly newest: BatchHeader;
  /** In any order: no two say anything of the same record. */
  readonly chunks: readonly SystemLocation[];
  /** The oldest first, which is the order to replay them in. */
  readonly batches: readonly SystemLocation[];
}

export type ChainReadParts = StripeReadParts & { readonly masterKey: MasterKey };

/** Batches are kept after the walk as long as they take no more than this; others are read again when they are replayed. */
const maxKeptBytes = 64 * 2 ** 20;

/** Walks the chain of the journal, and replays it. */
export class ChainReader {
  readonly #parts: ChainReadParts;
  readonly #unnamed: SystemStripes;
  readonly #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;

  constructor(parts: ChainReadParts) {
    this.#parts = parts;
    this.#unnamed = new SystemStripes(parts);
  }

  /**
   * Walks from a batch back to where its chain begins. Reads all of it once, so that a gap is known before anything is
   * replayed.
   *
   * @throws Error that names the system object which cannot be read; the signal's reason
   */
  async walk(from: SystemLocation, signal: AbortSignal): Promise<Chain> {
    const batches: SystemLocation[] = [];
    const { header: newest, location } = await this.#readBatch(from, signal);
    batches.push(location);
    const begin = newest.snapshot?.begin ?? 0;
    for (let next = newest.previous; next !== undefined && next.number > begin; ) {
      const batch = await this.#readBatch(next, signal);
      batches.push(batch.location);
      next = batch.header.previous;
    }
    const chunks: SystemLocation[] = [];
    for (let next = newest.snapshot?.last; next !== undefined; ) {
      const { content, location: found } = await this.#read(next, signal);
      chunks.push(found);
      next = (await decodeChunk(content)).header.previous;
    }
    return { newest, chunks, batches: batches.reverse() };
  }

  /** The records of a chain, in the order in which they are to be imported. */
  async *replay(
    chain: Chain,
    signal: AbortSignal,
  ): AsyncGenerator<{ readonly location: SystemLocation; readonly records: readonly MetadataRecord[] }, void, void> {
    for (const location of chain.chunks) {
      const { content } = await this.#read(location, signal);
      for (const records of (await decodeChunk(content)).pages()) yield { location, records };
    }
    for (const location of chain.batches) {
      const content = this.#kept.get(location.name) ?? (await this.#read(location, signal)).content;
      for (const records of (await decodeBatch(content)).pages()) yield { location, records };
    }
  }

  /**
   * A system object of the chain as the store is to know it: with its shards where they are by now, those included that no location names.
   * What the store does not know is an orphan, and would be deleted.
   */
  async follow(location: SystemLocation, signal: AbortSignal): Promise<SystemLocation> {
    const stripes = await Promise.all(
      location.stripes.map(async (named) => {
        const stripe = await followShards(this.#parts, named, signal);
        if (stripe.shards.length >= named.shardCount) return measureStripe(stripe);
        const { shards = [] } = (await this.#unnamed.complete(stripe, signal)) ?? {};
        const others = shards.filter(({ index }) => !stripe.shards.some((shard) => shard.index === index));
        return measureStripe({ ...stripe, shards: [...stripe.shards, ...others].sort((a, b) => a.index - b.index) });
      }),
    );
    return { ...location, stripes };
  }

  async #readBatch(
    from: SystemLocation,
    signal: AbortSignal,
  ): Promise<{ header: BatchHeader; location: SystemLocation }> {
    const { content, location } = await this.#read(from, signal);
    if (this.#keptBytes + content.length <= maxKeptBytes && !this.#kept.has(from.name)) {
      this.#kept.set(from.name, content);
      this.#keptBytes += content.length;
    }
    return { header: (await decodeBatch(content)).header, location };
  }

  async #read(from: SystemLocation, signal: AbortSignal): Promise<{ content: Uint8Array; location: SystemLocation }> {
    try {
      return await readSystemObject(this.#parts, from, this.#unnamed, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw new Error(`system object "${from.name}" cannot be read`, { cause: error });
    }
  }
}
