import { AbortScope } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { ProviderHealth } from './provider-health.ts';
import type { Provider } from './providers/provider.ts';

const tickMs = 500;
/** A probe goes out so long before clients would be let through, so that none of them has to wait for a provider that is still down. */
const leadMs = 1_000;
/** A provider of which nothing good was heard for so long is asked how it is. */
const idleMs = 15_000;
/** How long a probe may take. */
const timeoutMs = 5_000;

/**
 * Asks providers that are down, or that nobody calls, how they are, so that one that is back is known to be back, and one that died
 * is known to have died, whether or not clients have anything to do with it. A probe reads the root: one small read that takes the
 * way of all others, authentication included.
 */
export class ProviderProber {
  readonly #listProviders: () => readonly Provider[];
  readonly #health: ProviderHealth;
  readonly #controller = new AbortController();
  readonly #underWay = new Set<Provider>();
  #timer: NodeJS.Timeout | undefined;

  /** @param parts.listProviders all that may be called now, as `withObservation` made them */
  constructor(parts: { listProviders: () => readonly Provider[]; health: ProviderHealth }) {
    this.#listProviders = parts.listProviders;
    this.#health = parts.health;
  }

  /** Begins to probe; never keeps the process alive. */
  start(): void {
    this.#timer = setInterval(() => void this.probeDue(), tickMs);
    this.#timer.unref();
  }

  /** Ends probes under way. */
  stop(): void {
    clearInterval(this.#timer);
    this.#controller.abort(new DOMException('The prober was stopped', 'AbortError'));
  }

  /** Probes every provider that is due, once; resolves when all have answered, or their time is up. Never throws. */
  async probeDue(): Promise<void> {
    const due = this.#listProviders().filter(
      (provider) => !this.#underWay.has(provider) && this.#health.of(provider.id).needsProbe(leadMs, idleMs),
    );
    await Promise.all(due.map((provider) => this.#probe(provider)));
  }

  async #probe(provider: Provider): Promise<void> {
    const vitals = this.#health.of(provider.id);
    const scope = new AbortScope(this.#controller.signal);
    const late = new Failure('provider-timeout', { providerId: provider.id, call: 'readRoot', timeoutMs });
    const timer = setTimeout(() => scope.close(late), timeoutMs);
    vitals.beginTrial();
    this.#underWay.add(provider);
    try {
      await provider.readRoot(scope.signal);
    } catch {
      // Whoever observes the provider's calls has been told.
    } finally {
      clearTimeout(timer);
      scope.leave();
      this.#underWay.delete(provider);
      vitals.endTrial();
    }
  }
}
