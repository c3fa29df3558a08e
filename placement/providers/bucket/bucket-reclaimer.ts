import type { Clock } from '../../../core/clock.ts';
import { forEachBounded } from '../../../core/for-each-bounded.ts';
import type { BucketClient } from './bucket-client.ts';
import { hasFault } from './bucket-error.ts';

/** Older than any shard takes to be written, whatever the clocks say. */
const abandonedMs = 24 * 3_600_000;
const intervalMs = 6 * 3_600_000;
/** What one piece looks at. */
const pieceKeys = 100;
const width = 8;

export const incomingFolder = 'incoming/';

/**
 * Removes what writers left behind that ended in the middle: uploads that were never completed, and completed ones that
 * never got their shard's name. A walk over both, in pieces, every six hours.
 */
export class BucketReclaimer {
  readonly #client: BucketClient;
  readonly #clock: Clock;
  /** Keys of writers in this process, which are spared. */
  readonly #active: ReadonlySet<string>;
  #dueAtMs = Number.NEGATIVE_INFINITY;
  #stage: 'uploads' | 'objects' = 'uploads';
  #after: string | undefined;

  constructor(parts: { client: BucketClient; clock: Clock; active: ReadonlySet<string> }) {
    this.#client = parts.client;
    this.#clock = parts.clock;
    this.#active = parts.active;
  }

  /** Does the next piece, where one is due. Resolves to whether there is more to do now. */
  async reclaim(signal?: AbortSignal): Promise<boolean> {
    if (this.#clock.now() < this.#dueAtMs) return false;
    const last = this.#stage === 'uploads' ? await this.#reclaimUploads(signal) : await this.#reclaimObjects(signal);
    this.#after = last;
    if (last !== undefined) return true;
    if (this.#stage === 'uploads') {
      this.#stage = 'objects';
      return true;
    }
    this.#stage = 'uploads';
    this.#dueAtMs = this.#clock.now() + intervalMs;
    return false;
  }

  /** @returns the last key, where there is more */
  async #reclaimUploads(signal: AbortSignal | undefined): Promise<string | undefined> {
    const page = { after: this.#after, limit: pieceKeys };
    const { uploads, isCut } = await this.#client.listUploads(incomingFolder, page, signal).catch((error: unknown) => {
      // An endpoint that cannot list them is left to clean up by itself.
      if (hasFault(error, 'unsupported')) return { uploads: [], isCut: false };
      throw error;
    });
    const abandoned = uploads.filter(({ key, startedAtMs }) => this.#isAbandoned(key, startedAtMs));
    await forEachBounded(abandoned, width, (upload) => this.#client.abortUpload(upload, signal));
    return isCut ? uploads.at(-1)?.key : undefined;
  }

  async #reclaimObjects(signal: AbortSignal | undefined): Promise<string | undefined> {
    const page = { after: this.#after, limit: pieceKeys };
    const { entries, isCut } = await this.#client.list(incomingFolder, page, signal);
    const abandoned = entries.filter(({ key, modifiedAtMs }) => this.#isAbandoned(key, modifiedAtMs));
    await forEachBounded(abandoned, width, async ({ key }) => {
      await this.#client.delete(key, signal);
    });
    return isCut ? entries.at(-1)?.key : undefined;
  }

  #isAbandoned(key: string, startedAtMs: number): boolean {
    return !this.#active.has(key) && startedAtMs < this.#clock.now() - abandonedMs;
  }
}
