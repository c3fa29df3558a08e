import type { Log } from '../core/log.ts';

/** Strangers must not be able to fill the disk: refusals are logged at most so often. */
const intervalMs = 1_000;

/** Logs requests that were refused: one a second, with how many others there were since the one before. */
export class RefusalLog {
  readonly #log: Log;
  #loggedAtMs = Number.NEGATIVE_INFINITY;
  #silentCount = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  note(context: Readonly<Record<string, unknown>>, message: string): void {
    const nowMs = performance.now();
    if (nowMs - this.#loggedAtMs < intervalMs) {
      this.#silentCount++;
      return;
    }
    this.#log.warn({ ...context, othersSince: this.#silentCount }, message);
    this.#loggedAtMs = nowMs;
    this.#silentCount = 0;
  }
}
