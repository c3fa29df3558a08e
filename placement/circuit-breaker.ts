import type { Clock } from '../core/clock.ts';

/**
 * - `closed`: calls go through
 * - `open`: it failed so often, or hung, that nobody should wait for it
 * - `half-open`: it has been left alone for a while, and one call at a time may try it
 */
export type BreakerState = 'closed' | 'open' | 'half-open';

/** So many failures in a row open the breaker; a call that hung does so at once, since the next one would cost as much. */
const failuresInARow = 3;
/** So does a share of failures above this, among about the last sixteen calls. */
const maxFailureShare = 0.4;
const shareWeight = 1 / 16;

export interface BreakerSetting {
  readonly clock: Clock;
  /** How long one failure is held against a provider, and the longest that an opened breaker stays open at first. 0: neither ever. */
  readonly suspectMs: number;
  /** The longest that it stays open, however often it opened before. */
  readonly maxOpenMs: number;
  /** From 0 to 1, so that many gateways do not try a provider all at once. */
  readonly random: () => number;
}

/**
 * Whether to call one provider. A single failure makes it suspect for a while: others are asked first. Several open the breaker;
 * it half-opens by itself, after longer and longer while trials fail. Callers that have no choice may call it in any state,
 * and what comes of that counts too.
 */
export class CircuitBreaker {
  readonly #setting: BreakerSetting;
  #isClosed = true;
  #openedAtMs = 0;
  #openMs = 0;
  /** How often it opened without a good while in between. */
  #openings = 0;
  #closedAtMs = Number.NEGATIVE_INFINITY;
  #failedAtMs: number | undefined;
  #downSinceMs: number | undefined;
  #earlierSinceMs: number | undefined;
  #inARow = 0;
  #failureShare = 0;
  #trials = 0;

  constructor(setting: BreakerSetting) {
    this.#setting = setting;
  }

  get state(): BreakerState {
    if (this.#isClosed) return 'closed';
    return this.#isWithin(this.#openedAtMs, this.#openMs) ? 'open' : 'half-open';
  }

  /** When the failures began that opened it; undefined while it is closed. */
  get downSinceMs(): number | undefined {
    return this.#isClosed ? undefined : this.#downSinceMs;
  }

  /** Takes it that the failures began so long ago, if the next call fails too: it is what was known before a restart. */
  resumeDown(sinceMs: number): void {
    this.#earlierSinceMs = sinceMs;
  }

  /** Calls under way that began while it was half-open. */
  get trials(): number {
    return this.#trials;
  }

  /** Whether others should be asked first. A half-open breaker is as good as a closed one until somebody tries it. */
  get isSuspect(): boolean {
    if (this.#setting.suspectMs === 0) return false;
    if (this.#isClosed)
      return this.#failedAtMs !== undefined && this.#isWithin(this.#failedAtMs, this.#setting.suspectMs);
    return this.#trials > 0 || this.state === 'open';
  }

  /** Whether a trial is due in `leadMs` at the latest, and none is under way. */
  isTrialDue(leadMs: number): boolean {
    return !this.#isClosed && this.#trials === 0 && !this.#isWithin(this.#openedAtMs, this.#openMs - leadMs);
  }

  /** Counts a call that begins as a trial until `endTrial`. */
  beginTrial(): void {
    this.#trials += 1;
  }

  endTrial(): void {
    this.#trials -= 1;
  }

  /** A call went well. Not to be told of one that began before the last failure: it says nothing of how things are now. */
  succeed(): void {
    this.#inARow = 0;
    this.#failureShare *= 1 - shareWeight;
    this.#failedAtMs = undefined;
    this.#earlierSinceMs = undefined;
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#failureShare = 0;
    this.#closedAtMs = this.#setting.clock.now();
  }

  /** A call failed, or hung until it was given up. */
  fail(hung: boolean): void {
    const nowMs = this.#setting.clock.now();
    if (this.#inARow === 0 && this.#isClosed) this.#downSinceMs = this.#earlierSinceMs ?? nowMs;
    this.#inARow += 1;
    this.#failureShare += (1 - this.#failureShare) * shareWeight;
    this.#failedAtMs = nowMs;
    const state = this.state;
    if (state === 'open') return;
    const isEnough = hung || this.#inARow >= failuresInARow || this.#failureShare > maxFailureShare;
    if (state === 'half-open' || isEnough) this.#open(nowMs);
  }

  #open(nowMs: number): void {
    const { suspectMs, maxOpenMs, random } = this.#setting;
    // It kept well for longer than it ever stays open: what was before does not count.
    const isFresh = this.#isClosed && !this.#isWithin(this.#closedAtMs, maxOpenMs);
    this.#openings = isFresh ? 1 : this.#openings + 1;
    const longestMs = Math.min(suspectMs * 2 ** (this.#openings - 1), maxOpenMs);
    this.#openMs = longestMs * (1 - random() / 2);
    this.#openedAtMs = nowMs;
    this.#isClosed = false;
  }

  /** A clock that was set back must not prolong anything. */
  #isWithin(startMs: number, ms: number): boolean {
    const ageMs = this.#setting.clock.now() - startMs;
    return ageMs >= 0 && ageMs < ms;
  }
}
