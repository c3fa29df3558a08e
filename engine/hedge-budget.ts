/**
 * Bounds what hedging adds to the load of the providers: so many more blocks are asked for as a share of those that reads need
 * anyway, and a few at once. Without a bound, a fleet that is slow as a whole would be asked twice for everything.
 */
export class HedgeBudget {
  readonly #share: number;
  readonly #burst: number;
  #blocks: number;

  /** @param options.burst how many blocks may be asked for at once, after a time without hedges */
  constructor({ share, burst }: { share: number; burst: number }) {
    this.#share = share;
    this.#burst = burst;
    this.#blocks = burst;
  }

  /** A block was asked for that a read needs. */
  earn(): void {
    this.#blocks = Math.min(this.#blocks + this.#share, this.#burst);
  }

  get isSpent(): boolean {
    return this.#blocks < 1;
  }

  /** A block was asked for because another is late. What is overdrawn is to be earned before the next hedge. */
  spend(): void {
    this.#blocks -= 1;
  }
}
