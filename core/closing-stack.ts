/**
 * What was opened one after the other, to be closed in the reverse order. As `AsyncDisposableStack` with `await using`, which Node 22 has
 * neither of.
 */
export class ClosingStack {
  readonly #closings: (() => unknown)[] = [];

  /** Closes this as well. Returns it. */
  adopt<T>(resource: T, close: (resource: T) => unknown): T {
    this.defer(() => close(resource));
    return resource;
  }

  /** Does this as well. */
  defer(close: () => unknown): void {
    this.#closings.push(close);
  }

  /** Closes all, the last one first, each once the one before has ended, also where some fail. @throws the first error */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let close = this.#closings.pop(); close !== undefined; close = this.#closings.pop()) {
      try {
        await close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** Does some work, and closes what it opened when it ends, well or not. @throws what the work throws, or else what closing throws */
export async function closingAfter<T>(work: (opened: ClosingStack) => Promise<T>): Promise<T> {
  const opened = new ClosingStack();
  const result = await closingOnFailure(work, opened);
  await opened.close();
  return result;
}

/** Does some work, and closes what it opened where it fails; else that is left to whoever has the result. @throws what the work throws */
export async function closingOnFailure<T>(
  work: (opened: ClosingStack) => Promise<T>,
  opened = new ClosingStack(),
): Promise<T> {
  try {
    return await work(opened);
  } catch (error) {
    await opened.close().catch(() => {});
    throw error;
  }
}
