import { Failure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import type { Provider, ShardWriter } from './provider.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from './wrapped-provider.ts';

/**
 * Gives every call `timeoutMs`, after which it fails with `provider-timeout`, whatever the provider does: its signal is
 * aborted, and what it answers later is dropped. The same holds when the caller's own signal is aborted.
 * Calls that send a shard's bytes have `writeTimeoutMs`, the same unless given: over a slow link they take long.
 *
 * A `commit` that timed out may still have made the shard visible: an orphan, which `collect` removes.
 */
export function withDeadline(provider: Provider, options: DeadlineOptions): Provider {
  return new DeadlineProvider(provider, options);
}

export interface DeadlineOptions {
  readonly timeoutMs: number;
  readonly writeTimeoutMs?: number | undefined;
}

const writeCalls: ReadonlySet<ProviderCall> = new Set<ProviderCall>(['putShard', 'append', 'commit']);

class DeadlineProvider extends WrappedProvider {
  readonly #timeoutMs: number;
  readonly #writeTimeoutMs: number;

  constructor(inner: Provider, { timeoutMs, writeTimeoutMs = timeoutMs }: DeadlineOptions) {
    super(inner);
    this.#timeoutMs = timeoutMs;
    this.#writeTimeoutMs = writeTimeoutMs;
  }

  protected override async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    const ending = new Ending(signal);
    try {
      return await this.race(call, ending, work);
    } finally {
      ending.unfollow();
    }
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const ending = new Ending(signal);
    try {
      const writer = await this.race(
        'createShard',
        ending,
        (inner) => this.inner.createShard(inner),
        // It answered too late: nobody else knows of this writer, and its temporary bytes must not stay.
        (late) => void late.abort(),
      );
      return new DeadlineWriter(this, ending, writer);
    } catch (error) {
      ending.unfollow();
      throw error;
    }
  }

  /** Settles as `work` does, or when `ending` comes first, which this brings about after the time allowed. */
  race<T>(call: ProviderCall, ending: Ending, work: CallWork<T>, discard?: (late: T) => void): Promise<T> {
    const { signal } = ending;
    if (signal.aborted) return Promise.reject(signal.reason);
    const timeoutMs = writeCalls.has(call) ? this.#writeTimeoutMs : this.#timeoutMs;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        ending.abort(new Failure('provider-timeout', { providerId: this.id, call, timeoutMs }));
      }, timeoutMs);
      const end = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      signal.addEventListener('abort', end, { once: true });
      work(signal)
        .then((result) => {
          if (signal.aborted) discard?.(result);
          resolve(result);
        }, reject)
        .finally(() => {
          clearTimeout(timer);
          signal.removeEventListener('abort', end);
        });
    });
  }

  /** Like `race` for what must not fail: resolves when `work` does, at the latest after the time allowed. */
  async waitFor(work: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#timeoutMs);
    await Promise.race([work, promise]);
    clearTimeout(timer);
  }
}

/** All calls of one writer share an ending: once one of them timed out, none of the others may succeed. */
class DeadlineWriter implements ShardWriter {
  readonly #provider: DeadlineProvider;
  readonly #ending: Ending;
  readonly #inner: ShardWriter;

  constructor(provider: DeadlineProvider, ending: Ending, inner: ShardWriter) {
    this.#provider = provider;
    this.#ending = ending;
    this.#inner = inner;
  }

  append(buffers: readonly Uint8Array[]): Promise<void> {
    return this.#provider.race('append', this.#ending, () => this.#inner.append(buffers));
  }

  async commit(cid: ShardCid): Promise<void> {
    try {
      await this.#provider.race('commit', this.#ending, () => this.#inner.commit(cid));
    } catch (error) {
      // A commit that never began leaves the writer open; one that began is finished already, and this does nothing.
      void this.#inner.abort();
      throw error;
    } finally {
      this.#ending.unfollow();
    }
  }

  abort(): Promise<void> {
    this.#ending.unfollow();
    return this.#provider.waitFor(this.#inner.abort());
  }
}

/** An abort signal that also follows another one. (`AbortSignal.any` does this too, at several times the cost.) */
class Ending {
  readonly #controller = new AbortController();
  readonly #followed: AbortSignal | undefined;

  constructor(followed: AbortSignal | undefined) {
    this.#followed = followed;
    if (followed?.aborted) this.#controller.abort(followed.reason);
    else followed?.addEventListener('abort', this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  unfollow(): void {
    this.#followed?.removeEventListener('abort', this.#follow);
  }

  readonly #follow = () => this.#controller.abort(this.#followed?.reason);
}
