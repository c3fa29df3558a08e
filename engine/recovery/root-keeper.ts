import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Fleet } from '../../placement/fleet.ts';
import { sealRoot } from './root-record.ts';
import type { SystemLocation } from './system-location.ts';

/** Keeps the root of every provider pointing at the newest batch. */
export class RootKeeper {
  readonly #fleet: Fleet;
  readonly #metadata: MetadataStore;
  readonly #masterKey: MasterKey;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: Metrics;
  /** The batch that the last roots point at, and at how many providers they could not be written. */
  #written: { readonly batch: string; readonly failures: number } | undefined;

  constructor(parts: {
    fleet: Fleet;
    metadata: MetadataStore;
    masterKey: MasterKey;
    clock: Clock;
    log: Log;
    metrics: Metrics;
  }) {
    this.#fleet = parts.fleet;
    this.#metadata = parts.metadata;
    this.#masterKey = parts.masterKey;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#metrics = parts.metrics;
  }

  /** Whether some provider may have no root that points at this batch. */
  isBehind(batch: SystemLocation): boolean {
    return this.#written?.batch !== batch.name || this.#written.failures > 0;
  }

  /** Writes roots to all providers, and returns how many have them. One that fails gets it with a later call. */
  async write(batch: SystemLocation, signal: AbortSignal): Promise<number> {
    const root = { sequence: this.#metadata.drawNumber(), writtenAtMs: this.#clock.now(), batch };
    const bytes = sealRoot(this.#masterKey, root);
    const outcomes = await Promise.all(
      this.#fleet.members.map(async ({ provider }) => {
        try {
          await provider.writeRoot(bytes, signal);
          this.#metrics.rootsWritten.inc({ outcome: 'ok' });
          return true;
        } catch (error) {
          signal.throwIfAborted();
          this.#metrics.rootsWritten.inc({ outcome: 'failed' });
          this.#log.warn({ provider: provider.id, err: error }, 'root cannot be written now');
          return false;
        }
      }),
    );
    const count = outcomes.filter((isWritten) => isWritten).length;
    this.#written = { batch: batch.name, failures: outcomes.length - count };
    return count;
  }
}
