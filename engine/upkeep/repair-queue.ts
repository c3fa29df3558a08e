import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { ProviderId, Stripe, StripeId } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Fleet } from '../../placement/fleet.ts';
import { PlacementWatch } from './placement-watch.ts';
import { freezeStandings, type Redundancy } from './redundancy.ts';
import { RepairOrder } from './repair-order.ts';

const firstRetryMs = 5_000;
const maxRetryMs = 600_000;
/** The longest wait once a provider has come back. */
const maxSoonMs = 30_000;
/** Placements that are remembered as reported. */
const maxReported = 10_000;

/** A stripe whose turn it is. */
export interface QueuedStripe {
  readonly stripe: Stripe;
  readonly redundancy: Redundancy;
  readonly placementId: number;
  /** The stripe before it in its placement. */
  readonly previous: StripeId | undefined;
}

/** How far the stripes of one placement were tried. */
interface Sweep {
  after: StripeId | undefined;
  /** Those that could not be repaired in this sweep. */
  failed: number;
  repaired: number;
  delayMs: number;
  /** Once the end was reached: when to begin anew. */
  restartAtMs: number | undefined;
}

/**
 * Which stripe is to be repaired next: those first that can bear the fewest further losses. The queue is not stored: it follows from
 * where shards lie and how providers stand, so it is right after a restart and after any change of the fleet. What could not
 * be repaired is tried again later and later, and holds up nobody: what is remembered of it is one entry for all that lie alike.
 */
export class RepairQueue {
  readonly #metadata: MetadataStore;
  readonly #fleet: Fleet;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sweeps = new Map<number, Sweep>();
  readonly #reported = new Set<number>();
  readonly #order = new RepairOrder();
  readonly #watch: PlacementWatch;
  #up = new Set<ProviderId>();

  constructor(parts: { metadata: MetadataStore; fleet: Fleet; clock: Clock; log: Log }) {
    this.#metadata = parts.metadata;
    this.#fleet = parts.fleet;
    this.#clock = parts.clock;
    this.#log = parts.log;
    const { metadata, fleet } = parts;
    const isWanted = ({ lacking }: Redundancy): boolean => lacking > 0;
    this.#watch = new PlacementWatch({ metadata, fleet, isWanted, kept: this.#order });
  }

  /** The next stripes, the most urgent first. None where all that can be done now was tried. */
  async take(limit: number): Promise<QueuedStripe[]> {
    const standingOf = freezeStandings((id) => this.#fleet.standingOf(id));
    await this.#watch.refresh(standingOf);
    for (const id of this.#sweeps.keys()) if (!this.#order.has(id)) this.#sweeps.delete(id);
    if (this.#isAnyBack()) this.#tryAllSoon();
    const taken: QueuedStripe[] = [];
    for (const { placement, redundancy } of this.#order) {
      if (taken.length >= limit) break;
      if (redundancy.finalMargin < 0) this.#reportLost(placement);
      if (this.#isWaiting(placement)) continue;
      for (const queued of await this.#sweep(placement, redundancy, limit - taken.length)) taken.push(queued);
    }
    return taken;
  }

  /** When the next sweep begins; undefined where nothing waits. */
  nextRetryMs(): number | undefined {
    let earliest: number | undefined;
    for (const { restartAtMs } of this.#sweeps.values()) {
      if (restartAtMs !== undefined) earliest = Math.min(earliest ?? restartAtMs, restartAtMs);
    }
    return earliest;
  }

  noteOutcome({ placementId }: QueuedStripe, isRepaired: boolean): void {
    const sweep = this.#sweeps.get(placementId);
    if (sweep === undefined) return;
    if (isRepaired) sweep.repaired += 1;
    else sweep.failed += 1;
  }

  /** Puts back what was taken and not tried. */
  giveBack(stripes: readonly QueuedStripe[]): void {
    for (const { placementId, previous } of stripes) {
      const sweep = this.#sweeps.get(placementId);
      if (sweep === undefined) continue;
      sweep.restartAtMs = undefined;
      if (previous === undefined || (sweep.after !== undefined && previous < sweep.after)) sweep.after = previous;
    }
  }

  async #sweep(placement: Placement, redundancy: Redundancy, limit: number): Promise<QueuedStripe[]> {
    const { id: placementId } = placement;
    const sweep = this.#sweeps.get(placementId) ?? newSweep();
    this.#sweeps.set(placementId, sweep);
    if (sweep.restartAtMs !== undefined && sweep.restartAtMs <= this.#clock.now()) beginAgain(sweep);
    let previous = sweep.after;
    const stripes = await this.#metadata.listPlacedStripes(placementId, previous, limit);
    sweep.after = stripes.at(-1)?.id ?? sweep.after;
    if (stripes.length < limit && sweep.restartAtMs === undefined) {
      sweep.restartAtMs = this.#clock.now() + sweep.delayMs;
    }
    return stripes.map((stripe) => {
      const queued = { stripe, redundancy, placementId, previous };
      previous = stripe.id;
      return queued;
    });
  }

  /** Whether a sweep has come to the end, and nothing came since. */
  #isWaiting({ id, stripes }: Placement): boolean {
    const sweep = this.#sweeps.get(id);
    if (sweep?.restartAtMs === undefined) return false;
    return sweep.restartAtMs > this.#clock.now() && stripes <= sweep.failed;
  }

  /** Whether a provider is up that was not: then what waited may be possible. */
  #isAnyBack(): boolean {
    const up = new Set<ProviderId>();
    for (const { provider } of this.#fleet.members) {
      if (this.#fleet.standingOf(provider.id) === 'up') up.add(provider.id);
    }
    const before = this.#up;
    this.#up = up;
    return [...up].some((id) => !before.has(id));
  }

  /** Not at once, since a provider may come and go all the time. */
  #tryAllSoon(): void {
    for (const sweep of this.#sweeps.values()) {
      if (sweep.restartAtMs === undefined) continue;
      const soonMs = this.#clock.now() + Math.min(sweep.delayMs, maxSoonMs);
      sweep.restartAtMs = Math.min(sweep.restartAtMs, soonMs);
    }
  }

  #reportLost({ id, stripes, providers, k, m }: Placement): void {
    if (this.#reported.has(id)) return;
    if (this.#reported.size < maxReported) this.#reported.add(id);
    this.#log.error(
      { stripes, k, m, left: providers },
      'DATA LOST: stripes have fewer good shards than it takes to read them',
    );
  }
}

function newSweep(): Sweep {
  return { after: undefined, failed: 0, repaired: 0, delayMs: firstRetryMs, restartAtMs: undefined };
}

/** What was all in vain is tried again after twice the time. */
function beginAgain(sweep: Sweep): void {
  sweep.delayMs = sweep.repaired > 0 ? firstRetryMs : Math.min(2 * sweep.delayMs, maxRetryMs);
  sweep.after = undefined;
  sweep.failed = 0;
  sweep.repaired = 0;
  sweep.restartAtMs = undefined;
}
