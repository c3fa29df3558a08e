/** Locks by name, held for a while by one at a time and given on in the order of asking. */
export class KeyedLock {
  /** The end of the line for each name that is held. */
  readonly #tails = new Map<string, Promise<void>>();

  /** Returns what releases the lock; undefined while somebody holds it or waits for it. */
  tryAcquire(name: string): (() => void) | undefined {
    return this.#tails.has(name) ? undefined : this.#join(name);
  }

  /** Waits for all who came before. Returns what releases the lock. */
  async acquire(name: string): Promise<() => void> {
    const before = this.#tails.get(name);
    const release = this.#join(name);
    await before;
    return release;
  }

  #join(name: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#tails.get(name);
    const tail = before === undefined ? promise : before.then(() => promise);
    this.#tails.set(name, tail);
    return () => {
      if (this.#tails.get(name) === tail) this.#tails.delete(name);
      resolve();
    };
  }
}
