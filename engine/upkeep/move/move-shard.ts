import { Failure, isFailure } from '../../../core/failure.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../../core/model.ts';
import { shardBytes } from '../../../erasure/shard-format.ts';
import type { Placer } from '../../../placement/fleet.ts';
import type { Provider } from '../../../placement/providers/provider.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { checkCost, checkShard } from '../check-shard.ts';
import type { Liars } from '../liars.ts';
import { LockedProvider } from '../locked-provider.ts';
import type { Work } from '../throttle.ts';
import type { OldCopies } from './old-copies.ts';

/** Read and written in one call, and held in memory at once. */
const pieceBytes = 1024 * 1024;
/** How many providers are tried for one shard before it has to wait. */
const maxTargets = 3;

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
}

/** What all moves share. */
export interface MoveSetting {
  /** Where what a shard leaves behind is noted. */
  readonly oldCopies: OldCopies;
  /** Providers that lately did not keep what they acknowledged: nothing is moved there. */
  readonly liars: Liars;
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
export async function moveShard(
  parts: EngineParts,
  move: ShardMove,
  setting: MoveSetting,
  signal: AbortSignal,
): Promise<MovedShard> {
  const { locks, pins, metadata } = parts;
  const { stripeId } = move;
  const release = await locks.lockStripe(stripeId);
  pins.pin([stripeId]);
  try {
    // As it is now, since nobody else places its shards from here on.
    const stripe = (await metadata.findStripes([stripeId])).get(stripeId);
    const shard = stripe?.shards.find(({ providerId }) => providerId === move.from);
    if (stripe === undefined || shard === undefined) return { outcome: 'absent', bytes: 0 };
    return await new Mover({ parts, move, setting, stripe, shard, signal }).run();
  } finally {
    pins.unpin([stripeId]);
    release();
  }
}

class Mover {
  readonly #parts: EngineParts;
  readonly #move: ShardMove;
  readonly #setting: MoveSetting;
  readonly #stripe: Stripe;
  readonly #shard: PlacedShard;
  readonly #signal: AbortSignal;

  constructor(given: {
    parts: EngineParts;
    move: ShardMove;
    setting: MoveSetting;
    stripe: Stripe;
    shard: PlacedShard;
    signal: AbortSignal;
  }) {
    this.#parts = given.parts;
    this.#move = given.move;
    this.#setting = given.setting;
    this.#stripe = given.stripe;
    this.#shard = given.shard;
    this.#signal = given.signal;
  }

  async run(): Promise<MovedShard> {
    const { fleet } = this.#parts;
    const { id, k, m, shards, lostShards = [] } = this.#stripe;
    const source = fleet.find(this.#shard.providerId);
    if (source === undefined) return { outcome: 'failed', bytes: 0 };
    const others = shards.filter((shard) => shard !== this.#shard);
    // A shard that was found to be wrong may be right again, and two at one provider would be lost together.
    const holders = [...others, ...lostShards].map(({ providerId }) => providerId);
    const placer = fleet.placeStripe({ id, k, m, holders });
    for (let tried = 0; tried < maxTargets; tried++) {
      const target = this.#takeTarget(placer);
      if (target === undefined) return { outcome: tried === 0 ? 'no-place' : 'failed', bytes: 0 };
      const outcome = await this.#moveTo(target, source);
      if (outcome === 'moved') return { outcome, to: target.id, bytes: shardBytes(this.#stripe, this.#shard.index) };
      if (outcome !== 'refused') return { outcome, bytes: 0 };
      placer.giveBack(target);
    }
    return { outcome: 'failed', bytes: 0 };
  }

  #takeTarget(placer: Placer): Provider | undefined {
    const { fleet } = this.#parts;
    for (let target = placer.take(); target !== undefined; target = placer.take()) {
      const isFit =
        target.id !== this.#shard.providerId &&
        fleet.standingOf(target.id) === 'up' &&
        !this.#setting.liars.has(target.id);
      if (isFit && this.#move.accepts(target.id, this.#stripe)) return target;
      placer.giveBack(target);
    }
    return undefined;
  }

  /** Returns `refused` where it is the target that failed. */
  async #moveTo(target: Provider, source: Provider): Promise<MoveOutcome | 'refused'> {
    const place = new LockedProvider(target, this.#parts.locks);
    try {
      const outcome = await this.#copy(source, place);
      if (outcome !== 'moved') return outcome;
      if (!(await this.#record(place))) return 'absent';
      this.#setting.oldCopies.add({ holder: source.id, stripeId: this.#stripe.id, cid: this.#shard.cid });
      return 'moved';
    } finally {
      place.release();
    }
  }

  /** Copies and reads back. What did not work out is taken back. */
  async #copy(source: Provider, place: Provider): Promise<MoveOutcome | 'refused'> {
    const { log } = this.#parts;
    let isWritten = false;
    try {
      await this.#transfer(source, place);
      isWritten = true;
      await checkShard(place, this.#stripe, this.#shard, this.#signal);
      return 'moved';
    } catch (error) {
      await this.#takeBack(place);
      this.#signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      const isOverloaded = isFailure(error, 'overloaded');
      const fault = isOverloaded ? 'failed' : await this.#findFault(source);
      if (fault === 'damaged') return 'damaged';
      const isUnkept = isWritten && (isFailure(error, 'shard-missing') || isFailure(error, 'shard-corrupt'));
      if (fault === undefined && isUnkept) this.#setting.liars.note(place.id, error);
      else {
        log.warn(
          { stripe: this.#stripe.id, shard: this.#shard.index, from: source.id, to: place.id, err: error },
          'shard cannot be moved there now',
        );
      }
      return fault ?? 'refused';
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

  /** Looks whether it is the shard where it lies that is to blame, and records that; undefined where it reads right. */
  async #findFault(source: Provider): Promise<'damaged' | 'failed' | undefined> {
    const { metadata, kickRepair } = this.#parts;
    try {
      await checkShard(source, this.#stripe, this.#shard, this.#signal);
      return undefined;
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!isFailure(error)) throw error;
      if (!isFailure(error, 'shard-missing') && !isFailure(error, 'shard-corrupt')) return 'failed';
    }
    await metadata.loseShard(this.#stripe.id, this.#shard);
    kickRepair();
    return 'damaged';
  }

  /** Returns false where the stripe is gone. */
  async #record(place: Provider): Promise<boolean> {
    const { metadata, metrics } = this.#parts;
    const { index, cid } = this.#shard;
    try {
      await metadata.recordShard(this.#stripe.id, { index, providerId: place.id, cid });
    } catch (error) {
      if (!isFailure(error, 'stripe-missing')) throw error;
      // Nobody else will ever know of this copy.
      await this.#takeBack(place);
      return false;
    }
    metrics.shardsMoved.inc();
    metrics.movedBytes.inc(shardBytes(this.#stripe, index));
    return true;
  }

  /** What lay there before under that name stays: it may be good in part, or it is what the journal still names. */
  async #takeBack(place: Provider): Promise<void> {
    const { cid } = this.#shard;
    const isLost = this.#stripe.lostShards?.some((lost) => lost.providerId === place.id && lost.cid === cid);
    // What cannot be deleted is an orphan there.
    if (!isLost && !this.#setting.oldCopies.has(place.id, cid)) await place.deleteShard(cid).catch(() => {});
  }
}
