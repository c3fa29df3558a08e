/** What is older than so much time of work counts for little. */
const memorySeconds = 300;

/** How fast shards are moved, as it was of late: bytes against the time in which at least one was on its way. */
export class MovePace {
  #bytes = 0;
  #seconds = 0;
  #coveredMs = Number.NEGATIVE_INFINITY;

  /** @param startedAtMs and endedAtMs by a clock that passes evenly; moves may overlap */
  note(bytes: number, startedAtMs: number, endedAtMs: number): void {
    const seconds = Math.max(endedAtMs - Math.max(startedAtMs, this.#coveredMs), 0) / 1000;
    this.#coveredMs = Math.max(this.#coveredMs, endedAtMs);
    const keep = Math.exp(-seconds / memorySeconds);
    this.#bytes = this.#bytes * keep + bytes;
    this.#seconds = this.#seconds * keep + seconds;
  }

  /** Undefined while nothing was measured. */
  bytesPerS(): number | undefined {
    return this.#seconds > 0 && this.#bytes > 0 ? this.#bytes / this.#seconds : undefined;
  }
}
