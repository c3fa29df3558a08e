import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientLoad } from './client-load.ts';

/** Time that passes evenly, and waiting for it; injected so that tests can move it. */
export interface Timer {
  /** Milliseconds since some moment; never set back. */
  now(): number;
  /** @throws the signal's reason */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Waiting for it does not keep the process alive. */
export const realTimer: Timer = {
  now: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await sleep(ms, undefined, { signal, ref: false });
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  },
};

/** What a piece of work takes: bytes to and from providers, and calls to them. */
export interface Work {
  readonly bytes: number;
  readonly operations: number;
}

/** The longest that is slept at once: the rate that clients leave may be another by then. */
const maxSleepMs = 100;
/** What may be taken at once after a rest, in seconds of the rate. */
const burstSeconds = 0.5;

/**
 * Keeps one kind of upkeep below a rate of bytes and of calls, and lower while clients suffer from it: a token bucket for
 * each, filled at the rate times `load.factor()`. Whoever asks is served in turn. Work is let go as long as
 * neither bucket is empty, and may then overdraw it, so that a piece larger than the bucket is possible and the rate holds all the same.
 */
export class Throttle {
  readonly #bytes: Bucket;
  readonly #operations: Bucket;
  readonly #load: ClientLoad;
  readonly #timer: Timer;
  #atMs: number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: { bytesPerS: number; operationsPerS: number; load: ClientLoad; timer?: Timer }) {
    this.#bytes = new Bucket(parts.bytesPerS);
    this.#operations = new Bucket(parts.operationsPerS);
    this.#load = parts.load;
    this.#timer = parts.timer ?? realTimer;
    this.#atMs = this.#timer.now();
  }

  /** Waits until the work may be done. @throws the signal's reason */
  take(work: Work, signal: AbortSignal): Promise<void> {
    const turn = this.#last.then(() => this.#wait(work, signal));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Says that work is done without asking, since it cannot wait. Only clients' latencies are told apart by it. */
  pass(): void {
    this.#load.noteWork();
  }

  async #wait({ bytes, operations }: Work, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const factor = this.#refill();
      const waitMs = Math.max(this.#bytes.waitMs(factor), this.#operations.waitMs(factor));
      if (waitMs === 0) break;
      await this.#timer.sleep(Math.min(waitMs, maxSleepMs), signal);
    }
    this.#bytes.take(bytes);
    this.#operations.take(operations);
    this.#load.noteWork();
  }

  #refill(): number {
    const nowMs = this.#timer.now();
    const factor = this.#load.factor();
    const seconds = (nowMs - this.#atMs) / 1000;
    this.#atMs = nowMs;
    this.#bytes.refill(seconds * factor);
    this.#operations.refill(seconds * factor);
    return factor;
  }
}

class Bucket {
  readonly #perS: number;
  #level: number;

  constructor(perS: number) {
    this.#perS = perS;
    this.#level = perS * burstSeconds;
  }

  refill(seconds: number): void {
    if (this.#perS === Number.POSITIVE_INFINITY) return;
    this.#level = Math.min(this.#level + this.#perS * seconds, this.#perS * burstSeconds);
  }

  take(amount: number): void {
    this.#level -= amount;
  }

  /** Until it holds something again; 0 while it does. */
  waitMs(factor: number): number {
    if (this.#level > 0) return 0;
    return factor === 0 ? maxSleepMs : Math.max((-1000 * this.#level) / (this.#perS * factor), 1);
  }
}
