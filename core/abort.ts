/** One for all: to make an error costs more than most of the work that ends with it. */
const workIsOver = new DOMException('The work was over', 'AbortError');

/**
 * A controller that is also aborted by an outer signal, for as long as the work under it lasts. Unlike
 * `AbortSignal.any` it lets go of the outer signal at once when it is closed, so that a long-lived signal does not
 * gather listeners of short-lived work.
 */
export class AbortScope {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #onOuterAbort = (): void => this.#controller.abort(this.#outer?.reason);

  constructor(outer?: AbortSignal) {
    this.#outer = outer;
    if (outer?.aborted) this.#onOuterAbort();
    else outer?.addEventListener('abort', this.#onOuterAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Lets go of the outer signal, where nothing runs under the scope any more: cheaper than `close`. */
  leave(): void {
    this.#outer?.removeEventListener('abort', this.#onOuterAbort);
  }

  /** Aborts what still runs under the scope and lets go of the outer signal. May be called twice. */
  close(reason: unknown = workIsOver): void {
    this.leave();
    this.#controller.abort(reason);
  }
}

/**
 * The same items, but an aborted signal ends the wait for the next one at once, with the signal's reason. The source is
 * then told to return and not waited for, since it may hang.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  let interrupt: (reason: unknown) => void = () => {};
  const onAbort = (): void => interrupt(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let ended = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        interrupt = reject;
        iterator.next().then(resolve, (error: unknown) => {
          ended = true;
          reject(error);
        });
      });
      if (result.done) {
        ended = true;
        return;
      }
      yield result.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (!ended) iterator.return?.().catch(() => {});
  }
}
