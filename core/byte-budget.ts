import { Failure } from './failure.ts';
import type { BudgetGauges } from './metrics.ts';

/** A share of a budget. Whoever holds it gives it back exactly once; to give it back again does nothing. */
export interface Lease {
  readonly bytes: number;
  /** Gives back all but `bytes` of it. */
  shrink(bytes: number): void;
  release(): void;
}

interface Waiter {
  readonly bytes: number;
  readonly admit: (lease: Lease) => void;
}

/**
 * A bound on memory in flight. It counts what is taken and makes the rest wait, first come first served, so that a
 * large request is not starved by small ones. It allocates nothing itself.
 *
 * A holder must never wait for a second lease before it can give back the first, or two holders may wait for each other.
 */
export class ByteBudget {
  readonly name: string;
  readonly capacityBytes: number;
  readonly #waitMs: number;
  readonly #waiters = new Set<Waiter>();
  readonly #takenGauge: { value: number };
  readonly #waitingGauge: { value: number };
  #takenBytes = 0;

  constructor(parts: { name: string; capacityBytes: number; waitMs: number; metrics: BudgetGauges }) {
    this.name = parts.name;
    this.capacityBytes = parts.capacityBytes;
    this.#waitMs = parts.waitMs;
    this.#takenGauge = parts.metrics.budgetBytes.series({ budget: parts.name });
    this.#waitingGauge = parts.metrics.budgetWaiting.series({ budget: parts.name });
    this.#report();
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * @throws Failure `overloaded` when `waitMs` went by; RangeError for more than the whole budget; the signal's reason
   */
  async acquire(bytes: number, signal?: AbortSignal): Promise<Lease> {
    signal?.throwIfAborted();
    if (!(bytes >= 0 && bytes <= this.capacityBytes)) {
      throw new RangeError(`${bytes} bytes of a budget (${this.name}) of ${this.capacityBytes}`);
    }
    return this.tryAcquire(bytes) ?? this.#wait(bytes, signal);
  }

  /** A lease where it can be had without waiting and without overtaking anybody. */
  tryAcquire(bytes: number): Lease | undefined {
    return this.#waiters.size === 0 && this.#fits(bytes) ? this.#take(bytes) : undefined;
  }

  #fits(bytes: number): boolean {
    return this.#takenBytes + bytes <= this.capacityBytes;
  }

  #wait(bytes: number, signal: AbortSignal | undefined): Promise<Lease> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiters.delete(waiter);
      };
      const giveUp = (reason: unknown): void => {
        leave();
        reject(reason);
        // Whoever stood behind may be smaller than the one that left.
        this.#admit();
      };
      const waiter: Waiter = {
        bytes,
        admit: (lease) => {
          leave();
          resolve(lease);
        },
      };
      const onAbort = (): void => giveUp(signal?.reason);
      const timer = setTimeout(
        () => giveUp(new Failure('overloaded', { resource: this.name, waitedMs: this.#waitMs })),
        this.#waitMs,
      );
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      this.#report();
    });
  }

  #take(bytes: number): Lease {
    this.#takenBytes += bytes;
    this.#report();
    return new BudgetLease(bytes, (returned) => {
      this.#takenBytes -= returned;
      this.#admit();
    });
  }

  #admit(): void {
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter.bytes)) break;
      waiter.admit(this.#take(waiter.bytes));
    }
    this.#report();
  }

  #report(): void {
    this.#takenGauge.value = this.#takenBytes;
    this.#waitingGauge.value = this.#waiters.size;
  }
}

class BudgetLease implements Lease {
  #bytes: number;
  readonly #giveBack: (bytes: number) => void;

  constructor(bytes: number, giveBack: (bytes: number) => void) {
    this.#bytes = bytes;
    this.#giveBack = giveBack;
  }

  get bytes(): number {
    return this.#bytes;
  }

  shrink(bytes: number): void {
    if (bytes >= this.#bytes) return;
    const returned = this.#bytes - bytes;
    this.#bytes = bytes;
    this.#giveBack(returned);
  }

  release(): void {
    this.shrink(0);
  }
}
