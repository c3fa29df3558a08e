import { isFailure } from '../../../core/failure.ts';
import type { StripeId } from '../../../core/model.ts';
import { storedShardCount } from '../../../erasure/geometry.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { RecentNotes } from '../../recent-notes.ts';
import { type RepairSetting, StripeRepair } from '../repair-stripe.ts';
import { findWrong } from './find-wrong.ts';

/** Stripes that wait to be looked at. */
const maxWaiting = 1_000;
/** One that nothing could be done for is left alone for so long. */
const restMs = 600_000;

export interface RecodeResult {
  /**
   * What became of a stripe of which scrub said that its shards do not go together:
   * - `agrees`: they do, and what said otherwise was a fault on the way; or nobody refers to the stripe any more
   * - `mended`: the wrong ones were computed anew from the others
   * - `unclear`: nothing proves which are wrong
   * - `postponed`: not all that it takes can be read, or written, now
   */
  readonly outcome: 'agrees' | 'mended' | 'unclear' | 'postponed';
  /** Indexes of those that were computed anew. */
  readonly shards?: readonly number[];
}

/**
 * Looks at all rows of a stripe whose shards each have their digests but do not code to one another, as a fault of a codec or of memory leaves
 * them, and replaces those that are wrong.
 *
 * @throws Failure where something fails that may go well another time; the signal's reason
 */
export async function recodeStripe(
  parts: EngineParts,
  id: StripeId,
  setting: RepairSetting,
  signal: AbortSignal,
): Promise<RecodeResult> {
  const release = await parts.locks.lockStripe(id);
  parts.pins.pin([id]);
  try {
    const stripe = (await parts.metadata.findStripes([id])).get(id);
    if (stripe === undefined) return { outcome: 'agrees' };
    const isWhole = stripe.shards.length === storedShardCount(stripe);
    if (!isWhole || stripe.shards.some(({ providerId }) => parts.fleet.standingOf(providerId) !== 'up')) {
      return { outcome: 'postponed' };
    }
    const wrong = await findWrong(parts, stripe, signal);
    if (wrong === undefined) return { outcome: 'unclear' };
    if (wrong.length === 0) return { outcome: 'agrees' };
    const miscoded = stripe.shards.filter(({ index }) => wrong.includes(index));
    const { isWhole: isMended } = await new StripeRepair(parts, stripe, setting, signal, miscoded).run();
    return isMended ? { outcome: 'mended', shards: wrong } : { outcome: 'postponed' };
  } finally {
    parts.pins.unpin([id]);
    release();
  }
}

/** Stripes that scrub, compaction or a read found to be wrongly coded, until they are dealt with. What is dropped beyond the bound is found again. */
export class MiscodedStripes {
  readonly #parts: EngineParts;
  readonly #setting: RepairSetting;
  readonly #waiting = new Set<StripeId>();
  /** Those of which nothing came lately: each read that finds them again would have them looked at anew. */
  readonly #leftAlone: RecentNotes;

  constructor(parts: EngineParts, setting: RepairSetting) {
    this.#parts = parts;
    this.#setting = setting;
    this.#leftAlone = new RecentNotes({ maxNotes: maxWaiting, ageMs: restMs, clock: parts.clock });
  }

  /** Returns whether it is to be looked at. */
  note(id: StripeId): boolean {
    if (this.#waiting.size >= maxWaiting || this.#leftAlone.has(id)) return false;
    this.#waiting.add(id);
    return true;
  }

  /** Mends what can be mended now. Returns how many stripes were. */
  async mend(signal: AbortSignal): Promise<number> {
    const { log, metrics } = this.#parts;
    let mended = 0;
    for (const id of [...this.#waiting]) {
      signal.throwIfAborted();
      let result: RecodeResult = { outcome: 'postponed' };
      try {
        result = await recodeStripe(this.#parts, id, this.#setting, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isFailure(error)) throw error;
        log.warn({ stripe: id, err: error }, 'stripe cannot be coded anew now');
      }
      const { outcome, shards } = result;
      if (outcome === 'postponed') continue;
      this.#waiting.delete(id);
      if (outcome !== 'mended') this.#leftAlone.note(id);
      if (outcome === 'agrees') continue;
      metrics.miscodedStripes.inc({ outcome });
      if (outcome === 'mended') mended += 1;
      const text =
        outcome === 'mended' ? 'those that are wrong were coded anew' : 'nothing proves which are wrong, so they stay';
      log.error(
        { stripe: id, outcome, shards },
        `shards of a stripe have their digests but do not go together: ${text}`,
      );
    }
    return mended;
  }
}
