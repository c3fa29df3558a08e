import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ProviderId } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { EngineParts } from '../engine-parts.ts';
import { ObjectWalk, type OwnerMargin } from './object-walk.ts';
import { type JudgedPlacement, PlacementWatch } from './placement-watch.ts';
import {
  compareMargins,
  countMargins,
  freezeStandings,
  judgePlacement,
  type Margin,
  type MarginCount,
  type Redundancy,
  type StandingOf,
} from './redundancy.ts';

/** Of its time, the count in the background takes at most one part in so many. */
const restShare = 4;
const stepsPerRest = 50;
/** Those that are named at once; a page may have some more, since a stripe's owners come together. */
const maxNamed = 1_000;

/** How many owners of data stand at one margin, each at the worst of its stripes. */
export interface OwnerCount {
  readonly margin: Margin;
  /** Versions of objects, current or not. */
  readonly objects: number;
  /** Parts of uploads that are open. */
  readonly parts: number;
  /** Snapshots and journal of the metadata. */
  readonly systemObjects: number;
}

/** What stands below the full margin, who lives in it, and when that was counted. */
export interface OwnersBelow {
  readonly countedAtMs: number;
  /** Margins at which there is nobody are left out. */
  readonly counts: readonly OwnerCount[];
}

/** What is to be repaired. */
export interface RepairBacklog {
  readonly stripes: number;
  readonly shards: number;
  /** What these shards take. */
  readonly storedBytes: number;
  /** Since when the oldest of them has been waiting. */
  readonly oldestMs: number | undefined;
}

export interface StripeRedundancy {
  readonly margins: readonly MarginCount[];
  readonly backlog: RepairBacklog;
}

export interface AtRiskQuery {
  /** From the page before. */
  readonly cursor?: string | undefined;
  readonly limit?: number | undefined;
}

export interface AtRiskPage {
  readonly owners: readonly OwnerMargin[];
  /** Where the next page begins; absent at the end. */
  readonly cursor?: string;
}

/** Says what redundancy there is. Stripes and bytes are exact at any moment; who lives in them is counted in the background. */
export class RedundancyCounter {
  readonly #parts: EngineParts;
  /** Since when a provider has not been up, as far as this has seen. */
  readonly #absentSinceMs = new Map<ProviderId, number>();
  /** Placements below the full margin, as of the last count of owners. */
  readonly #below = new Map<number, JudgedPlacement>();
  readonly #watch: PlacementWatch;
  #owners: OwnersBelow | undefined;

  constructor(parts: EngineParts) {
    const { metadata, fleet } = parts;
    this.#parts = parts;
    this.#watch = new PlacementWatch({ metadata, fleet, isWanted: isBelow, kept: this.#below });
  }

  /** How many stripes and bytes stand at each margin, and what waits for repair: both of one moment. */
  async countStripes(): Promise<StripeRedundancy> {
    const { fleet, profiles, metadata } = this.#parts;
    const standingOf = freezeStandings((id) => fleet.standingOf(id));
    const placements = await metadata.listPlacements();
    const maxMargin = Math.max(...profiles.map(({ m }) => m));
    return {
      margins: countMargins(placements, standingOf, maxMargin),
      backlog: await this.#countBacklog(placements, standingOf),
    };
  }

  /** The last count; undefined before the first one. */
  get owners(): OwnersBelow | undefined {
    return this.#owners;
  }

  /** Keeps note of since when providers have been away. To be called now and then. */
  noteStandings(): void {
    const { fleet, clock } = this.#parts;
    for (const { id } of fleet.records) {
      if (fleet.standingOf(id) === 'up') this.#absentSinceMs.delete(id);
      else if (!this.#absentSinceMs.has(id)) this.#absentSinceMs.set(id, fleet.downSinceMs(id) ?? clock.now());
    }
  }

  /**
   * Counts who lives in what stands below the full margin.
   *
   * @param isHurried false to leave most of the time to others
   */
  async countOwners(isHurried: boolean, signal: AbortSignal): Promise<OwnersBelow> {
    const { metadata, fleet, clock } = this.#parts;
    const standingOf = freezeStandings((id) => fleet.standingOf(id));
    const countedAtMs = clock.now();
    const walk = new ObjectWalk(metadata, standingOf, isBelow, async () => {
      await this.#watch.refresh(standingOf);
      return Array.from(this.#below.values(), ({ placement }) => placement);
    });
    const counts = new Map<Margin, { objects: number; parts: number; systemObjects: number }>();
    const count = ({ owner, margin }: OwnerMargin): void => {
      const entry = counts.get(margin) ?? { objects: 0, parts: 0, systemObjects: 0 };
      counts.set(margin, entry);
      if (owner.kind === 'version') entry.objects += 1;
      else if (owner.kind === 'part') entry.parts += 1;
      else entry.systemObjects += 1;
    };
    let steps = 0;
    let begunAtMs = performance.now();
    for await (const { owners } of walk.walk(undefined, signal)) {
      for (const owner of owners) count(owner);
      steps += 1;
      if (steps % stepsPerRest !== 0) continue;
      if (isHurried) await nextTurn();
      else await sleep((performance.now() - begunAtMs) * restShare, undefined, { signal, ref: false });
      begunAtMs = performance.now();
    }
    for (const owner of await walk.listSystemObjects()) count(owner);
    const sorted = [...counts].sort(([a], [b]) => compareMargins(a, b));
    this.#owners = { countedAtMs, counts: sorted.map(([margin, entry]) => ({ margin, ...entry })) };
    return this.#owners;
  }

  /** Whose data can bear no further loss, cannot be read now, or is lost: by name, as things stand at this moment. */
  async listAtRisk({ cursor, limit = maxNamed }: AtRiskQuery, signal: AbortSignal): Promise<AtRiskPage> {
    const { metadata, fleet } = this.#parts;
    const standingOf = freezeStandings((id) => fleet.standingOf(id));
    // With m = 0 nothing can ever be lost, and that is as it should be.
    const isAtRisk = (redundancy: Redundancy, m: number): boolean =>
      redundancy.margin < 0 || (redundancy.margin === 0 && m > 0);
    const walk = new ObjectWalk(metadata, standingOf, isAtRisk);
    const named: OwnerMargin[] = cursor === undefined ? await walk.listSystemObjects() : [];
    for await (const step of walk.walk(cursor, signal)) {
      named.push(...step.owners);
      if (named.length >= Math.min(limit, maxNamed)) return { owners: named, cursor: step.cursor };
    }
    return { owners: named };
  }

  async #countBacklog(placements: readonly Placement[], standingOf: StandingOf): Promise<RepairBacklog> {
    const backlog = { stripes: 0, shards: 0, storedBytes: 0 };
    const lost = new Set<ProviderId>();
    for (const placement of placements) {
      const { lacking } = judgePlacement(placement, standingOf);
      if (lacking === 0) continue;
      backlog.stripes += placement.stripes;
      backlog.shards += lacking * placement.stripes;
      backlog.storedBytes += (placement.storedBytes * lacking) / placement.shardCount;
      for (const id of placement.providers) if (standingOf(id) === 'lost') lost.add(id);
    }
    const since = [await this.#parts.metadata.findOldestDegradedMs(), ...(await this.#listLostSince(lost))];
    const known = since.filter((ms) => ms !== undefined);
    return { ...backlog, oldestMs: known.length > 0 ? Math.min(...known) : undefined };
  }

  async #listLostSince(lost: ReadonlySet<ProviderId>): Promise<(number | undefined)[]> {
    if (lost.size === 0) return [];
    const records = await this.#parts.metadata.listProviders();
    return Array.from(lost, (id) => {
      const record = records.find((each) => each.id === id);
      return record?.state === 'gone' ? record.stateSinceMs : this.#absentSinceMs.get(id);
    });
  }
}

function isBelow({ margin }: Redundancy, m: number): boolean {
  return margin < m;
}
