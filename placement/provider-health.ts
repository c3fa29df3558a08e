import type { Clock } from '../core/clock.ts';
import type { ProviderId } from '../core/model.ts';

interface LastFailure {
  readonly atMs: number;
  readonly number: number;
}

/**
 * Which providers failed or hung so recently that others should be asked first. It is only a hint: a provider under
 * suspicion is asked last, not never, and is trusted again after `suspectMs` or as soon as it does something well.
 */
export class ProviderHealth {
  readonly #clock: Clock;
  readonly #suspectMs: number;
  readonly #lastFailures = new Map<ProviderId, LastFailure>();
  #failureCount = 0;

  constructor({ clock, suspectMs }: { clock: Clock; suspectMs: number }) {
    this.#clock = clock;
    this.#suspectMs = suspectMs;
  }

  /** A mark of this moment, taken when a call starts, for `recordSuccess`. */
  mark(): number {
    return this.#failureCount;
  }

  /**
   * Ends suspicion, unless the provider failed after `startMark`: a call that began before it fell ill and ended well
   * says nothing of how it is now.
   */
  recordSuccess(id: ProviderId, startMark: number = this.#failureCount): void {
    const failure = this.#lastFailures.get(id);
    if (failure !== undefined && startMark >= failure.number) this.#lastFailures.delete(id);
  }

  recordFailure(id: ProviderId): void {
    this.#failureCount += 1;
    this.#lastFailures.set(id, { atMs: this.#clock.now(), number: this.#failureCount });
  }

  isSuspect(id: ProviderId): boolean {
    const failure = this.#lastFailures.get(id);
    if (failure === undefined) return false;
    const ageMs = this.#clock.now() - failure.atMs;
    // A clock that was set back must not prolong the suspicion.
    return ageMs >= 0 && ageMs < this.#suspectMs;
  }
}
