const smallestMs = 0.05;
const ratio = 1.2;
const bucketCount = 80;
const logRatio = Math.log(ratio);

/** How often calls took how long, in buckets each a fifth longer than the one before: 0.05 ms to about a day. */
export class LatencyTally {
  readonly #counts = new Float64Array(bucketCount);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(durationMs: number): void {
    const at = durationMs <= smallestMs ? 0 : Math.ceil(Math.log(durationMs / smallestMs) / logRatio);
    this.#counts[Math.min(at, bucketCount - 1)]! += 1;
    this.#count += 1;
  }

  /** The upper bound of the bucket in which this share of the calls ends. 0 where there are none. */
  quantile(share: number): number {
    let left = this.#count * share;
    for (let at = 0; at < bucketCount; at++) {
      left -= this.#counts[at]!;
      if (left <= 0 && this.#count > 0) return smallestMs * ratio ** at;
    }
    return 0;
  }

  /** Halves the weight of all so far, so that what comes counts for more. */
  halve(): void {
    this.#count = 0;
    for (let at = 0; at < bucketCount; at++) {
      this.#counts[at]! /= 2;
      this.#count += this.#counts[at]!;
    }
  }

  clear(): void {
    this.#counts.fill(0);
    this.#count = 0;
  }
}
