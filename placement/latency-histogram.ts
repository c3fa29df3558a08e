const bucketsPerDoubling = 4;
const leastMs = 1 / 16;
/** Up to about two minutes. */
const bucketCount = 21 * bucketsPerDoubling;
/** Past so many observations all count half: what is told is about the last few hundred. */
const maxWeight = 512;

/**
 * How long calls took of late, as counts in buckets that each reach a fifth further than the one before. Adding takes no
 * memory and always the same time; old observations fade.
 */
export class LatencyHistogram {
  readonly #counts = new Float64Array(bucketCount);
  #weight = 0;

  add(ms: number): void {
    const at = Math.ceil(Math.log2(ms / leastMs) * bucketsPerDoubling);
    this.#counts[Math.min(Math.max(at, 0), bucketCount - 1)]! += 1;
    this.#weight += 1;
    if (this.#weight >= maxWeight) this.#fade();
  }

  /** How much the observations weigh together: their number while they are few. */
  get weight(): number {
    return this.#weight;
  }

  /** The upper bound, in milliseconds, of the bucket in which this share of the observations ends; 0 where there are none. */
  quantile(share: number): number {
    let left = this.#weight * (1 - share);
    let at = bucketCount - 1;
    while (at > 0 && this.#counts[at]! <= left) left -= this.#counts[at--]!;
    return this.#weight === 0 ? 0 : leastMs * 2 ** (at / bucketsPerDoubling);
  }

  #fade(): void {
    for (let at = 0; at < bucketCount; at++) this.#counts[at]! /= 2;
    this.#weight /= 2;
  }
}
