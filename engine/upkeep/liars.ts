import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { ProviderId } from '../../core/model.ts';
import { RecentNotes } from '../recent-notes.ts';

/** How long a provider that did not keep what it acknowledged gets nothing from repair, drain and rebalance. */
const liarAgeMs = 120_000;

/** Providers that lately did not give back what they had just acknowledged, whoever found out. */
export class Liars {
  readonly #notes: RecentNotes;
  readonly #metrics: Metrics;
  readonly #log: Log;

  constructor({ clock, metrics, log }: { clock: Clock; metrics: Metrics; log: Log }) {
    this.#notes = new RecentNotes({ maxNotes: 1_000, ageMs: liarAgeMs, clock });
    this.#metrics = metrics;
    this.#log = log;
  }

  has(id: ProviderId): boolean {
    return this.#notes.has(id);
  }

  /** @param error what reading back came to */
  note(id: ProviderId, error: unknown): void {
    this.#metrics.shardsNotKept.inc({ provider: id });
    if (!this.#notes.note(id)) return;
    this.#log.error({ provider: id, err: error }, 'provider did not keep a shard that it acknowledged');
  }
}
