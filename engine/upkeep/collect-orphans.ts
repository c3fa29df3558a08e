import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import type { EngineParts } from '../engine-parts.ts';

const pageShards = 500;
/** Shards deleted at once. */
const width = 16;
/** By how much a provider's clock may differ from ours. */
const clockSkewMs = 300_000;
/** A search that failed is tried again after this. */
const retryMs = 60_000;

/** A search through one provider's shards. */
interface Walk {
  cursor: string | undefined;
  isUnderWay: boolean;
  dueAtMs: number;
  /** Whether the provider was up when it was last looked at. */
  wasUp: boolean;
}

/**
 * Deletes what providers hold and no metadata name there: what a crash or a failed write left, and what was deleted, or
 * rebuilt elsewhere, while a provider was away. Each provider is walked every `orphanIntervalMs`, and soon after it came back.
 */
export class OrphanCollector {
  readonly #parts: EngineParts;
  readonly #walks = new Map<ProviderId, Walk>();

  constructor(parts: EngineParts) {
    this.#parts = parts;
    for (const { provider } of parts.fleet.members) {
      this.#addWalk(provider.id, parts.limits.orphanIntervalMs, true);
    }
  }

  /** Looks which providers are back. Returns whether there is one. */
  noteReturns(): boolean {
    const { fleet, clock } = this.#parts;
    let isAnyBack = false;
    for (const { provider } of fleet.members) {
      // One that joined, or is called again, may have been here before.
      const walk = this.#walks.get(provider.id) ?? this.#addWalk(provider.id, 0, false);
      const isUp = fleet.standingOf(provider.id) === 'up';
      if (isUp && !walk.wasUp) {
        walk.dueAtMs = clock.now();
        isAnyBack = true;
      }
      walk.wasUp = isUp;
    }
    const ids = new Set(fleet.members.map(({ provider }) => provider.id));
    for (const id of this.#walks.keys()) if (!ids.has(id)) this.#walks.delete(id);
    return isAnyBack;
  }

  /** Looks at one page of a provider whose turn it is. Returns in how many milliseconds the next turn is; 0 where there is more now. */
  async collectPage(signal: AbortSignal): Promise<number> {
    const { fleet, clock } = this.#parts;
    const next = [...this.#walks]
      .filter(([id]) => fleet.find(id) !== undefined && fleet.standingOf(id) === 'up')
      .sort(([, a], [, b]) => a.dueAtMs - b.dueAtMs)[0];
    if (next === undefined) return retryMs;
    const [id, walk] = next;
    if (walk.dueAtMs > clock.now()) return walk.dueAtMs - clock.now();
    await this.#walkPage(id, walk, signal);
    return 0;
  }

  /** Walks all providers that can be asked, from the beginning to the end. */
  async collectAll(signal: AbortSignal): Promise<void> {
    this.noteReturns();
    for (const [id, walk] of this.#walks) {
      walk.cursor = undefined;
      do {
        signal.throwIfAborted();
        await this.#walkPage(id, walk, signal);
      } while (walk.isUnderWay);
    }
  }

  async #walkPage(id: ProviderId, walk: Walk, signal: AbortSignal): Promise<void> {
    const { fleet, clock, limits, log } = this.#parts;
    const provider = fleet.find(id);
    walk.isUnderWay = false;
    if (provider === undefined) return;
    try {
      walk.cursor = await this.#collectPage(provider, walk.cursor, signal);
      walk.isUnderWay = walk.cursor !== undefined;
      if (!walk.isUnderWay) walk.dueAtMs = clock.now() + limits.orphanIntervalMs;
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ provider: id, err: error }, 'search for orphans must wait');
      walk.cursor = undefined;
      walk.dueAtMs = clock.now() + retryMs;
    }
  }

  /**
   * Deletes of one page what is older than `orphanAgeMs` and recorded nowhere at this provider. Shards that may belong to a write
   * under way are spared, however old. Returns where the next page begins.
   */
  async #collectPage(provider: Provider, cursor: string | undefined, signal: AbortSignal): Promise<string | undefined> {
    const { clock, limits, pins, metadata } = this.#parts;
    const beforeMs = Math.min(clock.now() - limits.orphanAgeMs, pins.oldestWriteMs() - clockSkewMs);
    const page = await provider.listShards(cursor, pageShards, signal);
    const old = page.shards.filter((shard) => shard.modifiedAtMs < beforeMs).map((shard) => shard.cid);
    const known = old.length > 0 ? await metadata.knownShards(old, provider.id) : new Set<ShardCid>();
    const orphans = old.filter((cid) => !known.has(cid));
    if (orphans.length > 0) await this.#deleteOrphans(provider, orphans, signal);
    return page.cursor;
  }

  async #deleteOrphans(provider: Provider, cids: readonly ShardCid[], signal: AbortSignal): Promise<void> {
    const { locks, metadata, journal, metrics } = this.#parts;
    const locked = new Map<ShardCid, () => void>();
    for (const cid of cids) {
      // One that is being placed here at this moment is no orphan.
      const release = locks.tryLockShard(provider.id, cid);
      if (release !== undefined) locked.set(cid, release);
    }
    try {
      // Once more, since it may have been placed here, and recorded, since the page was looked up.
      const recorded = await metadata.knownShards([...locked.keys()], provider.id);
      const orphans = [...locked.keys()].filter((cid) => !recorded.has(cid));
      // Where the stripe has that shard elsewhere, the journal may still say that it lies here.
      if ((await metadata.knownShards(orphans)).size > 0) await journal.flush();
      await forEachBounded(orphans, width, async (cid) => {
        await provider.deleteShard(cid, signal);
        metrics.shardsCollected.inc({ cause: 'orphan' });
      });
    } finally {
      for (const release of locked.values()) release();
    }
  }

  #addWalk(id: ProviderId, delayMs: number, wasUp: boolean): Walk {
    const dueAtMs = this.#parts.clock.now() + delayMs;
    const walk = { cursor: undefined, isUnderWay: false, dueAtMs, wasUp };
    this.#walks.set(id, walk);
    return walk;
  }
}
