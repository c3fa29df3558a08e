import { setTimeout as sleep } from 'node:timers/promises';
import type { Provider } from '../placement/providers/provider.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../placement/providers/wrapped-provider.ts';
import type { Random } from '../test/crash/random.ts';

/** The spread of latencies: the 99th of 100 calls takes about two and a half times as long as the median. */
const sigma = 0.4;

/** A provider whose calls take as long as a random number from a seed says, around a median that may change. */
export class DelayedProvider extends WrappedProvider {
  readonly #random: Random;
  medianMs = 0;
  readCalls = 0;

  constructor(inner: Provider, random: Random) {
    super(inner);
    this.#random = random;
  }

  protected override async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    if (call === 'readShard') this.readCalls += 1;
    if (this.medianMs > 0) {
      await sleep(this.#draw(), undefined, signal === undefined ? {} : { signal }).catch((error: unknown) => {
        throw signal?.reason ?? error;
      });
    }
    return work(signal);
  }

  /** Log-normal: a normal number by Box and Muller's transform, and its exponential. */
  #draw(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random.next()));
    return this.medianMs * Math.exp(sigma * radius * Math.cos(2 * Math.PI * this.#random.next()));
  }
}
