import { Failure, isFailure } from '../core/failure.ts';
import type { PlacedShard, ShardCid, Stripe } from '../core/model.ts';
import {
  digestBlock,
  encodeShardFooter,
  encodeShardHeader,
  type ShardIdentity,
  shardCid,
} from '../erasure/shard-format.ts';
import type { Provider, ShardWriter } from '../placement/providers/provider.ts';
import type { LanePlaces } from './lane-places.ts';

/** What the lanes of one stripe share. */
export interface LaneSetting {
  /** Shared by all lanes of the stripe, so that no two try the same provider. */
  readonly placer: LanePlaces;
  isSuspect(provider: Provider): boolean;
  /** Whether nobody should wait for the provider who can do without it; never unless given. */
  isDown?(provider: Provider): boolean;
  /** Whether the stripe is safe without one of the lanes that are left; never unless given. */
  mayForgo?(): boolean;
  noteFailure(provider: Provider, error: unknown): void;
  /** How long a call to a provider under suspicion may take. */
  readonly suspectWaitMs: number;
  /** How long the others may wait for a provider before the stripe had better fail; as long as its calls may take unless given. */
  stuckMs?(provider: Provider): number;
  readonly signal: AbortSignal;
}

/** What it means that a lane is waited for: all in milliseconds. */
export interface Lateness {
  /** Since when it is waited for. */
  readonly startedAtMs: number;
  /** After so long it is late by the measure of the others. */
  readonly lateMs: number;
  /** And before this never stuck. */
  readonly stuckMs: number;
  /** Whether the stripe is safe without it. */
  readonly mayDie: boolean;
}

/** Timers are not exact. */
const latePart = 0.9;

/** What is known of a stripe when its last row comes. */
export type StripeEnd = Pick<Stripe, 'dataBytes' | 'manifestBytes'>;

/**
 * One shard on its way to a provider. A provider that fails, or is late, is replaced by the next one as long as all that was
 * written to it is at hand; after that the lane is dead, which is for the stripe to judge. It dies as well where only providers
 * are left that are down, and the stripe can do without. Only an abort makes calls throw.
 *
 * The shard of a stripe of one row is whole when its first block comes, and goes to the provider in one call at `commit`;
 * others are sent row by row.
 */
export class ShardLane {
  readonly index: number;
  readonly #identity: ShardIdentity;
  readonly #header: Uint8Array;
  readonly #digests: Uint8Array[] = [];
  readonly #setting: LaneSetting;
  #cid: ShardCid | undefined;
  #provider: Provider | undefined;
  /** What comes after it, where that was looked up already. */
  #next: Provider | undefined;
  /** Ends the calls to the provider. */
  #attempt: AbortController | undefined;
  #writer: ShardWriter | undefined;
  /** All bytes of the shard so far, while they came in one piece. The block belongs to the stripe's first row. */
  #whole: readonly Uint8Array[] | undefined;
  /** Writers that were given up, and may still be at it. */
  #dropping: Promise<unknown> | undefined;
  #placed: PlacedShard | undefined;
  /** When it turned to the provider. */
  #turnedAtMs = 0;
  #isDead = false;
  #isAborted = false;

  constructor(identity: ShardIdentity, setting: LaneSetting) {
    this.index = identity.index;
    this.#identity = identity;
    this.#header = encodeShardHeader(identity);
    this.#setting = setting;
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  /** Where the shard lies once it was committed. */
  get placed(): PlacedShard | undefined {
    return this.#placed;
  }

  /** The shard's name, once its end is known. */
  get cid(): ShardCid | undefined {
    return this.#cid;
  }

  /**
   * Adds the next block, or none where the last row stores nothing here; with the end of the stripe the footer too. The
   * block must stay as it is until this settles, and that of the only row until `commit` does.
   *
   * @param digest of the block, where it is known
   */
  async append(block: Uint8Array | undefined, end: StripeEnd | undefined, digest?: Uint8Array): Promise<void> {
    if (this.#isDead) return;
    const isFirst = this.#digests.length === 0;
    const buffers: Uint8Array[] = isFirst ? [this.#header] : [];
    if (block !== undefined) {
      this.#digests.push(digest ?? digestBlock(block));
      buffers.push(block);
    }
    if (end !== undefined) {
      const footer = encodeShardFooter(this.#identity, end, this.#digests);
      this.#cid = shardCid(this.#header, footer);
      buffers.push(footer);
    }
    if (isFirst) {
      this.#whole = buffers;
      if (end === undefined) await this.#open(buffers);
    } else {
      this.#whole = undefined;
      await this.#extend(buffers);
    }
  }

  /** Makes the shard durable, after its footer. */
  async commit(): Promise<void> {
    const cid = this.#cid;
    if (cid === undefined) throw new Error('a shard is committed after its footer');
    if (this.#writer === undefined && this.#whole !== undefined) return this.#put(cid, this.#whole);
    while (!this.#isDead && this.#writer !== undefined && this.#provider !== undefined) {
      try {
        await this.#bound('commit', this.#writer.commit(cid));
        return await this.#finish(this.#provider, cid);
      } catch (error) {
        await this.#drop(error);
        if (this.#whole === undefined) this.#die();
        else await this.#open(this.#whole);
      }
    }
  }

  /**
   * Says that the others have long been done. Where a good provider is left and all bytes are at hand, the shard goes there; else the
   * lane dies, where it may or is stuck; else it goes on waiting.
   */
  hurry({ startedAtMs, lateMs, stuckMs, mayDie }: Lateness): void {
    const provider = this.#provider;
    if (provider === undefined || this.#attempt === undefined) return;
    // The provider may have been turned to only when another one was late.
    const waitedMs = performance.now() - Math.max(startedAtMs, this.#turnedAtMs);
    if (waitedMs < lateMs * latePart) return;
    const canMove = this.#whole !== undefined && this.#hasGoodNext();
    const patienceMs = Math.max(stuckMs, this.#setting.stuckMs?.(provider) ?? Number.POSITIVE_INFINITY);
    if (!canMove && !mayDie && waitedMs < patienceMs * latePart) return;
    if (!canMove) this.#isDead = true;
    this.#giveUp(provider, 'write', waitedMs);
  }

  /**
   * Takes back what was written, committed or not. Never throws; a shard that cannot be deleted becomes an orphan. Nobody waits for a
   * provider that is down.
   */
  async abort(): Promise<void> {
    this.#isAborted = true;
    const placed = this.#placed;
    this.#placed = undefined;
    const provider = this.#provider;
    const work = this.#takeBack(placed);
    if (provider === undefined || !this.#setting.isDown?.(provider)) await work;
  }

  async #takeBack(placed: PlacedShard | undefined): Promise<void> {
    await Promise.all([this.#dropping, this.#writer?.abort()]);
    if (placed !== undefined) await this.#provider?.deleteShard(placed.cid).catch(() => {});
    this.#unfollow();
  }

  /** The shard is durable. */
  async #finish(provider: Provider, cid: ShardCid): Promise<void> {
    this.#unfollow();
    this.#placed = { index: this.index, providerId: provider.id, cid };
    if (this.#isAborted) await this.abort();
  }

  #takeNext(): Provider | undefined {
    const { placer, isDown, mayForgo } = this.#setting;
    const provider = this.#next ?? placer.take();
    this.#next = undefined;
    if (provider === undefined || !isDown?.(provider) || !mayForgo?.()) return provider;
    placer.putBack(provider);
    return undefined;
  }

  #hasGoodNext(): boolean {
    this.#next ??= this.#setting.placer.take();
    return this.#next !== undefined && !this.#setting.isSuspect(this.#next);
  }

  /** Turns to a provider. Returns the signal for the calls to it. */
  #begin(provider: Provider): AbortSignal {
    const { signal } = this.#setting;
    if (this.#attempt === undefined) signal.addEventListener('abort', this.#follow, { once: true });
    this.#provider = provider;
    this.#turnedAtMs = performance.now();
    this.#attempt = new AbortController();
    if (signal.aborted) this.#follow();
    return this.#attempt.signal;
  }

  readonly #follow = (): void => this.#attempt?.abort(this.#setting.signal.reason);

  #unfollow(): void {
    this.#attempt = undefined;
    this.#setting.signal.removeEventListener('abort', this.#follow);
  }

  /** Ends the calls to the provider as if it had not answered in time, which counts against it. */
  #giveUp({ id: providerId }: Provider, call: string, timeoutMs: number): void {
    this.#attempt?.abort(new Failure('provider-timeout', { providerId, call, timeoutMs }));
  }

  #die(): void {
    this.#isDead = true;
    this.#unfollow();
    if (this.#next !== undefined) this.#setting.placer.putBack(this.#next);
    this.#next = undefined;
  }

  /** Finds a provider that takes the whole shard. */
  async #put(cid: ShardCid, whole: readonly Uint8Array[]): Promise<void> {
    while (!this.#isDead) {
      const provider = this.#takeNext();
      if (provider === undefined) break;
      const signal = this.#begin(provider);
      try {
        await this.#bound('putShard', provider.putShard(cid, whole, signal));
        return await this.#finish(provider, cid);
      } catch (error) {
        await this.#drop(error);
      }
    }
    this.#die();
  }

  /** Finds a provider that takes `buffers`, the first of a shard of many rows. */
  async #open(buffers: readonly Uint8Array[]): Promise<void> {
    while (!this.#isDead) {
      const provider = this.#takeNext();
      if (provider === undefined) break;
      const signal = this.#begin(provider);
      try {
        this.#writer = await this.#bound('createShard', provider.createShard(signal));
        if (this.#isAborted) throw new DOMException('The stripe was given up', 'AbortError');
        await this.#bound('append', this.#writer.append(buffers));
        return;
      } catch (error) {
        await this.#drop(error);
      }
    }
    this.#die();
  }

  async #extend(buffers: readonly Uint8Array[]): Promise<void> {
    if (this.#writer === undefined) return;
    try {
      await this.#bound('append', this.#writer.append(buffers));
    } catch (error) {
      await this.#drop(error);
      this.#die();
    }
  }

  async #drop(error: unknown): Promise<void> {
    const writer = this.#writer;
    this.#writer = undefined;
    const provider = this.#provider;
    const aborting = writer?.abort();
    // One that hangs would not be done with this either before its time is up; only who takes back the stripe waits for it.
    if (!isFailure(error, 'provider-timeout')) await aborting;
    else if (provider && !this.#setting.isDown?.(provider)) this.#dropping = Promise.all([this.#dropping, aborting]);
    this.#setting.signal.throwIfAborted();
    if (this.#isAborted) throw error;
    if (provider === undefined) return;
    this.#setting.placer.giveBack(provider);
    this.#setting.noteFailure(provider, error);
  }

  /** A provider that failed or hung lately gets its chance, but not the patience that a good one has. */
  async #bound<T>(call: string, work: Promise<T>): Promise<T> {
    const provider = this.#provider;
    if (provider === undefined || !this.#setting.isSuspect(provider)) return work;
    const timeoutMs = this.#setting.suspectWaitMs;
    const timer = setTimeout(() => this.#giveUp(provider, call, timeoutMs), timeoutMs);
    try {
      return await work;
    } finally {
      clearTimeout(timer);
    }
  }
}
