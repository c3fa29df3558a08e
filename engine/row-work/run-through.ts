/** All of a piece of work that would let others go in between. */
export function runThrough<T>(work: Generator<undefined, T, undefined>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** A turn of the event loop that has taken so long lets others have theirs. */
const maxTurnMs = 1.5;

/** The same in turns of the event loop; at once where one is enough. */
export async function runInTurns<T>(work: Generator<undefined, T, undefined>): Promise<T> {
  for (;;) {
    const endsAtMs = performance.now() + maxTurnMs;
    do {
      const step = work.next();
      if (step.done) return step.value;
    } while (performance.now() < endsAtMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
