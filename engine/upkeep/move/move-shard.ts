import { Failure, isFailure } from '../../../core/failure.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import { shardBytes } from '../../../erasure/shard-format.ts';
import type { Provider } from '../../../placement/providers/provider.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { checkCost, checkShard } from '../check-shard.ts';
import { LockedProvider } from '../locked-provider.ts';
import type { Work } from '../throttle.ts';
import type { OldCopies } from './old-copies.ts';

/** Read and written in one call, and held in memory at once. */
const pieceBytes = 1024 * 1024;

/**
 * What became of a shard that was to be moved:
 * - `moved`: it lies elsewhere, whole, and the metadata say so
 * - `absent`: it does not lie there any more
 * - `no-place`: no provider can take it now
 * - `damaged`: it is gone or wrong where it lies; that is recorded, and repair replaces it
 * - `failed`: a provider failed; it may be tried again
 */
export type MoveOutcome = 'moved' | 'absent' | 'no-place' | 'damaged' | 'failed';

export interface ShardMove {
  readonly stripeId: StripeId;
  readonly from: ProviderId;
  /** Whether the shard may go there; only providers that are up and hold nothing of the stripe are asked about. */
  readonly accepts: (to: ProviderId, stripe: Stripe) => boolean;
  /** Where what it leaves behind is noted. */
  readonly oldCopies: OldCopies;
}

export interface MovedShard {
  readonly outcome: MoveOutcome;
  /** Where it went, and how long it is; only where it was moved. */
  readonly to?: ProviderId;
  readonly bytes: number;
}

/** What it takes to move a shard: it is read, written, and read again. */
export function moveCost(stripe: Stripe, index: number): Work {
  const bytes = shardBytes(stripe, index);
  const check = checkCost(stripe, index);
  const pieces = Math.ceil(bytes / pieceBytes);
  return { bytes: 2 * bytes + check.bytes, operations: pieces + (pieces === 1 ? 1 : pieces + 2) + check.operations };
}

/**
 * Moves the shard of a stripe that lies at `from` to another provider: the bytes themselves, without coding. They are read back
 * where they were written before that is recorded. Throws only the signal's reason, and what is wrong with the metadata store.
 */
export async function moveShard(parts: EngineParts, move: ShardMove, signal: AbortSignal): Promise<MovedShard> {
  const { locks, pins, metadata } = parts;
  const { stripeId } = move;
  const release = await locks.lockStripe(stripeId);
  pins.pin([stripeId]);
  try {
    // As it is now, since nobody else places its shards from here on.
    const stripe = (await metadata.findStripes([stripeId])).get(stripeId);
    const shard = stripe?.shards.find(({ providerId }) => providerId === move.from);
    if (stripe === undefined || shard === undefined) return { outcome: 'absent', bytes: 0 };
    return await new Mover(parts, move, stripe, shard, signal).run();
  } finally {
    pins.unpin([stripeId]);
    release();
  }
}

class Mover {
  readonly #parts: EngineParts;
  readonly #move: ShardMove;
  readonly #stripe: Stripe;
  readonly #shard: PlacedShard;
  readonly #signal: AbortSignal;

  constructor(parts: EngineParts, move: ShardMove, stripe: Stripe, shard: PlacedShard, signal: AbortSignal) {
    this.#parts = parts;
    this.#move = move;
    this.#stripe = stripe;
    this.#shard = shard;
    this.#signal = signal;
  }

  async run(): Promise<MovedShard> {
    const { fleet, locks } = this.#parts;
    const source = fleet.find(this.#shard.providerId);
    if (source === undefined) return { outcome: 'failed', bytes: 0 };
    const target = this.#takeTarget();
    if (target === undefined) return { outcome: 'no-place', bytes: 0 };
    const place = new LockedProvider(target, locks);
    try {
      const outcome = await this.#copy(source, place);
      if (outcome !== 'moved') return { outcome, bytes: 0 };
      await this.#record(place);
      this.#move.oldCopies.add({ holder: source.id, stripeId: this.#stripe.id, cid: this.#shard.cid });
      return { outcome, to: target.id, bytes: shardBytes(this.#stripe, this.#shard.index) };
    } finally {
      place.release();
    }
  }

  #takeTarget(): Provider | undefined {
    const { fleet } = this.#parts;
    const { id, k, m, shards, lostShards = [] } = this.#stripe;
    const others = shards.filter((shard) => shard !== this.#shard);
    // A shard that was found to be wrong may be right again, and two at one provider would be lost together.
    const holders = [...others, ...lostShards].map(({ providerId }) => providerId);
    const placer = fleet.placeStripe({ id, k, m, holders });
    for (let target = placer.take(); target !== undefined; target = placer.take()) {
      const isFit = target.id !== this.#shard.providerId && fleet.standingOf(target.id) === 'up';
      if (isFit && this.#move.accepts(target.id, this.#stripe)) return target;
      placer.giveBack(target);
    }
    return undefined;
  }

  /** Copies and reads back. What did not work out is taken back. */
  async #copy(source: Provider, place: Provider): Promise<MoveOutcome> {
    const { log } = this.#parts;
    try {
      await this.#transfer(source, place);
      await checkShard(place, this.#stripe, this.#shard, this.#signal);
      return 'moved';
    } catch (error) {
      await this.#takeBack(place);
      this.#signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      if (await this.#isDamaged(source)) return 'damaged';
      log.warn(
        { stripe: this.#stripe.id, shard: this.#shard.index, from: source.id, to: place.id, err: error },
        'shard cannot be moved now',
      );
      return 'failed';
    }
  }

  async #transfer(source: Provider, place: Provider): Promise<void> {
    const { readBudget } = this.#parts;
    const { cid, index } = this.#shard;
    const bytes = shardBytes(this.#stripe, index);
    const lease = await readBudget.acquire(Math.min(bytes, pieceBytes), this.#signal);
    try {
      if (bytes <= pieceBytes) {
        await place.putShard(cid, [await this.#read(source, 0, bytes)], this.#signal);
        return;
      }
      const writer = await place.createShard(this.#signal);
      try {
        for (let offset = 0; offset < bytes; offset += pieceBytes) {
          await writer.append([await this.#read(source, offset, Math.min(pieceBytes, bytes - offset))]);
        }
        await writer.commit(cid);
      } catch (error) {
        await writer.abort();
        throw error;
      }
    } finally {
      lease.release();
    }
  }

  async #read(source: Provider, offset: number, length: number): Promise<Uint8Array> {
    const { cid } = this.#shard;
    const piece = await source.readShard(cid, offset, length, this.#signal);
    if (piece.length === length) return piece;
    throw new Failure('shard-corrupt', { providerId: source.id, cid, reason: `${piece.length} bytes, not ${length}` });
  }

  /** Looks whether it is the shard that is to blame, and records it if so. */
  async #isDamaged(source: Provider): Promise<boolean> {
    const { metadata, kickRepair } = this.#parts;
    try {
      await checkShard(source, this.#stripe, this.#shard, this.#signal);
      return false;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isFailure(error, 'shard-missing') && !isFailure(error, 'shard-corrupt')) return false;
    }
    await metadata.loseShard(this.#stripe.id, this.#shard);
    kickRepair();
    return true;
  }

  async #record(place: Provider): Promise<void> {
    const { metadata, metrics } = this.#parts;
    const { index, cid } = this.#shard;
    try {
      await metadata.recordShard(this.#stripe.id, { index, providerId: place.id, cid });
    } catch (error) {
      // The stripe is gone, and nobody else will ever know of this copy.
      if (isFailure(error, 'stripe-missing')) await this.#takeBack(place);
      throw error;
    }
    metrics.shardsMoved.inc();
    metrics.movedBytes.inc(shardBytes(this.#stripe, index));
  }

  /** What lay there before under that name, and may be good in part, stays. */
  async #takeBack(place: Provider): Promise<void> {
    const { cid } = this.#shard;
    const isOld = this.#stripe.lostShards?.some((lost) => lost.providerId === place.id && lost.cid === cid);
    // What cannot be deleted is an orphan there.
    if (!isOld) await place.deleteShard(cid).catch(() => {});
  }
}
