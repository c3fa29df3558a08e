import { type Clock, systemClock } from '../core/clock.ts';
import { type Log, silentLog } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ProviderId, ProviderRecord } from '../core/model.ts';
import { FleetSpace } from './fleet-space.ts';
import type { ProviderHealth } from './provider-health.ts';
import type { Capacity, Provider } from './providers/provider.ts';
import { Roster } from './roster.ts';
import { type SpreadLevel, spreadLevels } from './spread-groups.ts';
import { type Placer, type PlacerParts, StripePlacer, type StripeToPlace } from './stripe-placer.ts';

export type { Placer, StripeToPlace };

/**
 * How a provider stands:
 * - `up`: it may be called, and did well of late
 * - `down`: it does not answer, or is suspended; it is expected back
 * - `lost`: it is gone, not in the fleet, or has been down for so long that its shards are to be rebuilt elsewhere
 */
export type Standing = 'up' | 'down' | 'lost';

/** A provider that may be called, and what is known of it. */
export interface FleetMember {
  readonly record: ProviderRecord;
  readonly provider: Provider;
}

/** A provider as it is in the fleet, whether it may be called or not. */
export interface FleetEntry {
  readonly record: ProviderRecord;
  /** Absent where it could not be opened, or is not to be. */
  readonly provider?: Provider | undefined;
  /** Since when it should be open and is not. */
  readonly downSinceMs?: number | undefined;
}

export interface FleetParts {
  readonly members: readonly FleetEntry[];
  readonly health: ProviderHealth;
  /** How long a provider may be down before its shards are to be rebuilt elsewhere; never unless given. */
  readonly lostAfterMs?: number;
  readonly clock?: Clock;
  readonly metrics?: Metrics;
  readonly log?: Log;
}

/** Where a provider that is full by what was measured stands in the order of `ProviderHealth.writeRank`. */
const fullRank = 2;

/** How often, at most, the log says that the spread rule cannot be kept. */
const excessLogMs = 60_000;

/** What the fleet is at one moment. Replaced as a whole, so that whoever has taken it sees no half of a change. */
interface Snapshot {
  readonly entries: ReadonlyMap<ProviderId, FleetEntry>;
  /** Those that may be called. */
  readonly members: readonly FleetMember[];
  readonly placing: PlacerParts;
}

/**
 * All providers, which of them look well, and where new shards go. It changes while it is in use: what was taken from it
 * before a change (a provider, a placer) stays good for the work that was begun with it.
 */
export class Fleet {
  /** How its providers do. */
  readonly health: ProviderHealth;
  readonly #lostAfterMs: number;
  readonly #clock: Clock;
  readonly #metrics: Metrics | undefined;
  readonly #log: Log;
  readonly #space: FleetSpace;
  readonly #excessLoggedAtMs = new Map<SpreadLevel, number>();
  #now: Snapshot;
  #isSettling = false;

  constructor(parts: FleetParts) {
    this.health = parts.health;
    this.#lostAfterMs = parts.lostAfterMs ?? Number.POSITIVE_INFINITY;
    this.#clock = parts.clock ?? systemClock;
    this.#metrics = parts.metrics;
    this.#log = parts.log ?? silentLog;
    this.#space = new FleetSpace();
    for (const level of spreadLevels) this.#metrics?.spreadViolations.inc({ level }, 0);
    this.#now = this.#makeSnapshot(parts.members);
  }

  /** Providers that may be called, in the order in which they were given. */
  get members(): readonly FleetMember[] {
    return this.#now.members;
  }

  /** All providers that the fleet knows of, also those that are not to be called. */
  get records(): readonly ProviderRecord[] {
    return Array.from(this.#now.entries.values(), ({ record }) => record);
  }

  /** Makes these the fleet. Nothing is closed: a provider that is left out is the caller's to close. */
  apply(entries: readonly FleetEntry[]): void {
    const before = this.#now.entries;
    this.#now = this.#makeSnapshot(entries);
    for (const id of before.keys()) {
      if (this.#now.entries.has(id)) continue;
      this.#space.forget(id);
      this.health.forget(id);
    }
  }

  /** Undefined for a provider that may not be called: it is suspended, gone, not open, or not in the fleet. */
  find(id: ProviderId): Provider | undefined {
    const entry = this.#now.entries.get(id);
    return entry !== undefined && isServing(entry.record) ? entry.provider : undefined;
  }

  findRecord(id: ProviderId): ProviderRecord | undefined {
    return this.#now.entries.get(id)?.record;
  }

  /** Whether the provider failed or hung so recently that others should be asked first. */
  isSuspect(id: ProviderId): boolean {
    return this.health.isSuspect(id);
  }

  standingOf(id: ProviderId): Standing {
    const entry = this.#now.entries.get(id);
    if (entry === undefined || entry.record.state === 'gone') return 'lost';
    if (entry.record.state === 'suspended' || entry.record.state === 'joining') return 'down';
    const downSinceMs = this.#downSinceMs(entry);
    if (downSinceMs === undefined) return 'up';
    return this.#clock.now() - downSinceMs >= this.#lostAfterMs ? 'lost' : 'down';
  }

  /** Since when a provider that should serve does not; undefined for one that does, and for one that is not to. */
  downSinceMs(id: ProviderId): number | undefined {
    const entry = this.#now.entries.get(id);
    const isExpected = entry !== undefined && (isServing(entry.record) || entry.record.state === 'joining');
    return isExpected ? this.#downSinceMs(entry) : undefined;
  }

  /** Places for a stripe's shards; slow providers, full ones and those under suspicion come last, in this order. */
  placeStripe(stripe: StripeToPlace): Placer {
    return new StripePlacer(this.#now.placing, stripe);
  }

  /** What was last measured of a provider's space. */
  capacityOf(id: ProviderId): Capacity | undefined {
    return this.#space.find(id);
  }

  /** Notes how much space providers have, measured at about the same time, which new data follow. */
  setCapacities(capacities: ReadonlyMap<ProviderId, Capacity>): void {
    const known = new Map(Array.from(capacities).filter(([id]) => this.#now.entries.has(id)));
    if (this.#space.measure(known)) this.#now = this.#makeSnapshot([...this.#now.entries.values()]);
  }

  #downSinceMs({ record, provider, downSinceMs }: FleetEntry): number | undefined {
    if (provider === undefined) return downSinceMs ?? record.stateSinceMs;
    return this.health.downSinceMs(record.id);
  }

  #makeSnapshot(entries: readonly FleetEntry[]): Snapshot {
    const byId = new Map(entries.map((entry) => [entry.record.id, entry]));
    const members = entries.flatMap(({ record, provider }) =>
      provider !== undefined && isServing(record) ? [{ record, provider }] : [],
    );
    return { entries: byId, members, placing: this.#preparePlacing(entries) };
  }

  #preparePlacing(entries: readonly FleetEntry[]): PlacerParts {
    const records = entries.map(({ record }) => record);
    const weights = this.#space.weigh(records);
    const providers = entries.map(({ provider }) => provider);
    const roster = new Roster(
      records.map((record, index) => {
        const isTaking = record.state === 'active' && providers[index] !== undefined;
        const { id, operator, country, zone } = record;
        return { id, operator, country, zone, weight: isTaking ? weights[index]! : 0 };
      }),
    );
    return {
      roster,
      providers,
      tierOf: (member) => {
        const { id } = records[member]!;
        const rank = this.health.writeRank(id);
        return rank < fullRank && this.#space.isFull(id) ? fullRank : rank;
      },
      onExcess: (level) => this.#noteExcess(level),
      onUnsettled: () => this.#settle(),
    };
  }

  /** Finishes what a roster does not do while a write waits for it, in pieces, so that requests are served meanwhile. */
  #settle(): void {
    if (this.#isSettling) return;
    this.#isSettling = true;
    const step = (): void => {
      if (this.#now.placing.roster.settleStep()) setImmediate(step).unref();
      else this.#isSettling = false;
    };
    setImmediate(step).unref();
  }

  #noteExcess(level: SpreadLevel): void {
    this.#metrics?.spreadViolations.inc({ level });
    const nowMs = this.#clock.now();
    const loggedAtMs = this.#excessLoggedAtMs.get(level);
    if (loggedAtMs !== undefined && Math.abs(nowMs - loggedAtMs) < excessLogMs) return;
    this.#excessLoggedAtMs.set(level, nowMs);
    this.#log.warn({ level }, `a stripe has more than m shards in one ${level}: the fleet allows nothing better`);
  }
}

/** Whether a provider in this state serves what it holds. */
function isServing({ state }: ProviderRecord): boolean {
  return state === 'active' || state === 'draining';
}
