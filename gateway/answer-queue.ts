/** An answer that is ready to be sent. */
export interface ReadyAnswer {
  /** Hands it to the kernel. Must not throw. */
  sendNow(): void;
}

/** So many are sent at once; whoever has waited for the others is not to wait longer. */
const maxWaiting = 32;

/**
 * Sends answers that become ready in one turn of the event loop one right after the other, at the end of the turn.
 *
 * The first bytes that a sleeping client or proxy gets wake it, and a server pays for that: it takes about as long as all else
 * that a small GET costs. Answers that are sent one by one, with the work for the next in between, wake it each time; sent together
 * they find it awake. No timer: the turn ends when the requests that were there are dealt with, so that one alone does not wait.
 */
export class AnswerQueue {
  #waiting: ReadyAnswer[] = [];

  add(answer: ReadyAnswer): void {
    const count = this.#waiting.push(answer);
    if (count === 1) setImmediate(this.#sendAll);
    else if (count >= maxWaiting) this.#sendAll();
  }

  readonly #sendAll = (): void => {
    const ready = this.#waiting;
    this.#waiting = [];
    for (const answer of ready) answer.sendNow();
  };
}
