import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { ProviderId, ProviderRecord } from '../../core/model.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { refused } from './fleet-refusals.ts';
import type { FleetRoll, KeptProvider } from './fleet-roll.ts';
import { checkMoved, checkOwner, probeProvider } from './probe-provider.ts';

/** How a provider is opened: as one that joins and may be empty, or as one that was in use before and must be found so. */
export type OpeningMode = 'join' | 'return';

export interface ProviderOpenerParts {
  readonly roll: FleetRoll;
  readonly clock: Clock;
  readonly log: Log;
  readonly masterKey: MasterKey;
  /**
   * Opens what a record names, with all that belongs around it. `close` must wait for calls under way.
   *
   * @throws what says why it cannot be opened
   */
  openProvider(record: ProviderRecord, mode: OpeningMode, signal: AbortSignal): Promise<Provider>;
  /** Tries what only this kind of provider can be asked; returns warnings. @throws Failure `provider-refused` */
  readonly probeLocation?: ((record: ProviderRecord, signal: AbortSignal) => Promise<readonly string[]>) | undefined;
  /** Aborted when the fleet is closed. */
  readonly signal: AbortSignal;
}

export interface OpeningOptions {
  /** Whether the metadata store is new. */
  readonly isNew?: boolean;
  /** Whether one that joins is tried as an operator wants it who adds it, and waits. */
  readonly isThorough?: boolean;
  /** The fleet's own unless given. */
  readonly signal?: AbortSignal;
}

/**
 * Opens the providers of the fleet and closes them again. One that was closed may still be at work for calls that were under way:
 * it is opened anew only after that.
 */
export class ProviderOpener {
  readonly #parts: ProviderOpenerParts;
  readonly #closing = new Map<ProviderId, Promise<void>>();

  constructor(parts: ProviderOpenerParts) {
    this.#parts = parts;
  }

  /** Opens the provider, if it should be open; one that joins is tried as well. What fails is noted in the entry. Returns warnings. */
  async open(entry: KeptProvider, options: OpeningOptions = {}): Promise<readonly string[]> {
    const { clock, log, masterKey, probeLocation, roll } = this.#parts;
    const { isNew = false, isThorough = false, signal = this.#parts.signal } = options;
    const { record } = entry;
    if (!isToBeOpen(record)) return [];
    let provider: Provider | undefined;
    try {
      const isJoining = record.state === 'joining';
      const warnings = isJoining && isThorough ? await probeLocation?.(record, signal) : undefined;
      provider = await this.#openProvider(record, isJoining ? 'join' : 'return', signal);
      if (isJoining) {
        await checkOwner(provider, { masterKey, isNew }, signal);
        if (isThorough) await probeProvider(provider, this.#openOthers(record.id), signal);
        await roll.put(entry, roll.inState(record, 'active'));
      }
      entry.provider = provider;
      entry.downSinceMs = undefined;
      entry.error = undefined;
      return warnings ?? [];
    } catch (error) {
      if (provider !== undefined) this.#close(record.id, provider);
      entry.downSinceMs ??= clock.now();
      entry.error = error;
      if (!this.#parts.signal.aborted) {
        log.warn({ provider: record.id, err: error }, 'provider does not open, and is tried again later');
      }
      return [];
    }
  }

  /**
   * Opens a provider at another place or in another way, and persists that. It is as before when that fails.
   *
   * @throws Failure `provider-refused`
   */
  async move(entry: KeptProvider, record: ProviderRecord, signal: AbortSignal): Promise<void> {
    const { clock, masterKey, roll } = this.#parts;
    roll.refusePlaceOfOther(record);
    if (entry.provider !== undefined) {
      this.close(entry);
      entry.downSinceMs = clock.now();
      roll.apply();
    }
    let provider: Provider | undefined;
    try {
      if (isToBeOpen(record)) {
        provider = await this.#openProvider(record, 'return', signal);
        if (await roll.holdsShards(record.id)) await checkMoved(provider, masterKey, signal);
      }
      await roll.put(entry, record);
      entry.provider = provider;
      entry.downSinceMs = undefined;
      entry.error = undefined;
    } catch (error) {
      if (provider !== undefined) this.#close(record.id, provider);
      await this.open(entry);
      roll.apply();
      throw refused(record.id, error);
    }
  }

  /** Closes a provider when its calls have ended, which nobody waits for. */
  close(entry: KeptProvider): void {
    if (entry.provider === undefined) return;
    this.#close(entry.record.id, entry.provider);
    entry.provider = undefined;
  }

  /** Closes all, and waits for it. */
  async closeAll(): Promise<void> {
    for (const entry of this.#parts.roll.entries) this.close(entry);
    await Promise.all(this.#closing.values());
  }

  async #openProvider(record: ProviderRecord, mode: OpeningMode, signal: AbortSignal): Promise<Provider> {
    // A directory belongs to one at a time, also within the process.
    await this.#closing.get(record.id);
    return this.#parts.openProvider(record, mode, signal);
  }

  #openOthers(id: ProviderId): Provider[] {
    return this.#parts.roll.entries.flatMap(({ record, provider }) =>
      provider !== undefined && record.id !== id ? [provider] : [],
    );
  }

  #close(id: ProviderId, provider: Provider): void {
    const before = this.#closing.get(id);
    const closing = Promise.allSettled([before, provider.close()]).then(() => {
      if (this.#closing.get(id) === closing) this.#closing.delete(id);
    });
    this.#closing.set(id, closing);
  }
}

/** Whether a provider in this state is called, or is to be once it can be. */
export function isToBeOpen({ state }: ProviderRecord): boolean {
  return state === 'active' || state === 'draining' || state === 'joining';
}
