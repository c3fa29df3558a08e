import { isFailure } from '../../core/failure.ts';
import type { PlacedShard, Stripe, StripeId } from '../../core/model.ts';
import { rowCount, storedBlockBytes, storedShardCount } from '../../erasure/geometry.ts';
import type { EngineParts } from '../engine-parts.ts';
import { type RepairSetting, StripeRepair } from './repair-stripe.ts';
import { judgeRow } from './scrub/judge-row.ts';
import { RowSample } from './scrub/row-sample.ts';

/** Stripes that wait to be looked at. */
const maxWaiting = 1_000;

/**
 * What became of a stripe of which scrub said that its shards do not go together:
 * - `agrees`: they do; what said otherwise was a fault on the way
 * - `mended`: the wrong ones were computed anew from the others
 * - `unclear`: it cannot be said which are wrong
 * - `postponed`: not all of its shards can be read, or written, now
 */
export type RecodeOutcome = 'agrees' | 'mended' | 'unclear' | 'postponed';

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
): Promise<RecodeOutcome> {
  const release = await parts.locks.lockStripe(id);
  parts.pins.pin([id]);
  try {
    const stripe = (await parts.metadata.findStripes([id])).get(id);
    if (stripe === undefined) return 'agrees';
    const isWhole = stripe.shards.length === storedShardCount(stripe);
    if (!isWhole || stripe.shards.some(({ providerId }) => parts.fleet.standingOf(providerId) !== 'up')) {
      return 'postponed';
    }
    const wrong = await findWrong(parts, stripe, signal);
    if (wrong === undefined) return 'unclear';
    if (wrong.length === 0) return 'agrees';
    const miscoded = stripe.shards.filter(({ index }) => wrong.includes(index));
    const { isWhole: isMended } = await new StripeRepair(parts, stripe, setting, signal, miscoded).run();
    return isMended ? 'mended' : 'postponed';
  } finally {
    parts.pins.unpin([id]);
    release();
  }
}

/** Shards that are wrong in some row; undefined where it cannot be said, or they are too many over all rows. */
async function findWrong(
  parts: EngineParts,
  stripe: Stripe,
  signal: AbortSignal,
): Promise<readonly number[] | undefined> {
  const { readBudget, codec, blocks } = parts;
  const wrong = new Set<number>();
  for (let row = 0; row < rowCount(stripe); row++) {
    const bytes = 2 * (stripe.k + stripe.m) * storedBlockBytes(stripe, 0, row);
    const lease = await readBudget.acquire(Math.min(bytes, readBudget.capacityBytes), signal);
    try {
      const sample = new RowSample(stripe, row);
      const read = async (shard: PlacedShard): Promise<void> => {
        if (storedBlockBytes(stripe, shard.index, row) === 0) return;
        sample.take(shard.index, row, await blocks.readBlock(stripe, shard, row, signal));
      };
      await Promise.all(stripe.shards.map(read));
      const whole = sample.blocks();
      const judged = whole && judgeRow(codec, whole, stripe);
      if (judged === undefined) return undefined;
      for (const index of judged) wrong.add(index);
    } finally {
      lease.release();
    }
  }
  return wrong.size <= Math.floor(stripe.m / 2) ? [...wrong] : undefined;
}

/** Stripes that scrub found to be wrongly coded, until they are dealt with. What is dropped beyond the bound is found again. */
export class MiscodedStripes {
  readonly #parts: EngineParts;
  readonly #setting: RepairSetting;
  readonly #waiting = new Set<StripeId>();

  constructor(parts: EngineParts, setting: RepairSetting) {
    this.#parts = parts;
    this.#setting = setting;
  }

  note(id: StripeId): void {
    if (this.#waiting.size < maxWaiting) this.#waiting.add(id);
  }

  /** Mends what can be mended now. Returns how many stripes were. */
  async mend(signal: AbortSignal): Promise<number> {
    const { log, metrics } = this.#parts;
    let mended = 0;
    for (const id of [...this.#waiting]) {
      signal.throwIfAborted();
      let outcome: RecodeOutcome = 'postponed';
      try {
        outcome = await recodeStripe(this.#parts, id, this.#setting, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isFailure(error)) throw error;
        log.warn({ stripe: id, err: error }, 'stripe cannot be coded anew now');
      }
      if (outcome === 'postponed') continue;
      this.#waiting.delete(id);
      if (outcome === 'agrees') continue;
      metrics.miscodedStripes.inc({ outcome });
      if (outcome === 'mended') mended += 1;
      const text =
        outcome === 'mended' ? 'was coded anew' : 'is left as it is, since it cannot be said which are wrong';
      log.error({ stripe: id, outcome }, `shards of a stripe have their digests but do not go together: it ${text}`);
    }
    return mended;
  }
}
