import { randomBytes } from 'node:crypto';
import type { CompletedPart } from '@aws-sdk/client-s3';
import type { ByteBudget, Lease } from '../../../core/byte-budget.ts';
import type { ShardCid } from '../../../core/model.ts';
import type { ShardWriter } from '../provider.ts';
import type { ProviderCall } from '../wrapped-provider.ts';
import type { BucketClient } from './bucket-client.ts';
import { incomingFolder } from './bucket-reclaimer.ts';

/** What a writer needs of the bucket provider that made it. */
export interface ShardBucket {
  readonly client: BucketClient;
  readonly budget: ByteBudget;
  readonly partBytes: number;
  /** @throws Failure `provider-full` where so many bytes more do not fit */
  takeSpace(bytes: number): void;
  giveSpaceBack(bytes: number): void;
  keyOf(cid: ShardCid): string;
  /** An upload under this key is under way, until it is released. */
  holdIncoming(key: string): void;
  releaseIncoming(key: string): void;
  /** Does `work` some time soon and whatever comes of it; `close` of the provider waits for it. */
  leaveBehind(work: (signal: AbortSignal) => Promise<void>): void;
  /** The error to throw for `error`. */
  explain(call: ProviderCall, error: unknown, signal: AbortSignal | undefined): unknown;
}

interface Upload {
  readonly key: string;
  readonly uploadId: string;
  readonly parts: CompletedPart[];
}

/**
 * Writes a shard whose name comes last. Bytes are gathered in a part's buffer. A shard that fits into it is put under its
 * name in one request. A longer one is uploaded part by part under a random key, and copied to its name within the bucket.
 *
 * It holds one part of memory from its first to its last call, taken from the budget before it begins; where the budget
 * has another part free at the moment, one part is filled while the other is sent.
 */
export class BucketShardWriter implements ShardWriter {
  readonly #bucket: ShardBucket;
  /** The caller's; it also ends `#controller`. */
  readonly #signal: AbortSignal | undefined;
  readonly #controller = new AbortController();
  readonly #onAbort = () => this.#controller.abort(this.#signal?.reason);
  readonly #leases: Lease[];
  #buffer: Buffer;
  #filledBytes = 0;
  #spareBuffer: Buffer | undefined;
  #takenBytes = 0;
  #upload: Upload | undefined;
  /** The part on its way; never rejects unhandled. */
  #sending: Promise<void> = Promise.resolve();
  #pending: Promise<void> | undefined;
  #finish: Promise<void> | undefined;

  constructor(parts: { bucket: ShardBucket; lease: Lease; signal: AbortSignal | undefined }) {
    this.#bucket = parts.bucket;
    this.#leases = [parts.lease];
    this.#signal = parts.signal;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
    // Pages that are never touched cost nothing, so a short shard does not take a part's worth.
    this.#buffer = Buffer.allocUnsafeSlow(this.#bucket.partBytes);
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#signal?.throwIfAborted();
    if (this.#finish !== undefined) throw new Error('this shard was already committed or aborted');
    this.#pending = this.#gather(buffers);
    await this.#pending;
  }

  async commit(cid: ShardCid): Promise<void> {
    if (this.#finish !== undefined) throw new Error('this shard was already committed or aborted');
    this.#finish = this.#publish(cid);
    await this.#finish;
  }

  async abort(): Promise<void> {
    this.#finish ??= this.#discard();
    await this.#finish.catch(ignoreError);
  }

  async #gather(buffers: readonly Uint8Array[]): Promise<void> {
    try {
      for (const buffer of buffers) {
        this.#bucket.takeSpace(buffer.length);
        this.#takenBytes += buffer.length;
        for (let offset = 0; offset < buffer.length; ) {
          // A full part is sent only when there is more, so that a shard of just one part needs no upload.
          if (this.#filledBytes === this.#buffer.length) await this.#send();
          const bytes = Math.min(buffer.length - offset, this.#buffer.length - this.#filledBytes);
          this.#buffer.set(buffer.subarray(offset, offset + bytes), this.#filledBytes);
          this.#filledBytes += bytes;
          offset += bytes;
        }
      }
    } catch (error) {
      throw this.#bucket.explain('append', error, this.#signal);
    }
  }

  /** Sends the part that is gathered, and makes room for the next one. */
  async #send(): Promise<void> {
    await this.#sending;
    const part = this.#buffer.subarray(0, this.#filledBytes);
    this.#sending = this.#sendPart(part);
    // Seen by whoever waits for it next.
    this.#sending.catch(ignoreError);
    const spare = this.#spareBuffer ?? this.#takeSpare();
    if (spare === undefined) {
      await this.#sending;
    } else {
      this.#spareBuffer = this.#buffer;
      this.#buffer = spare;
    }
    this.#filledBytes = 0;
  }

  #takeSpare(): Buffer | undefined {
    const lease = this.#bucket.budget.tryAcquire(this.#bucket.partBytes);
    if (lease === undefined) return undefined;
    this.#leases.push(lease);
    return Buffer.allocUnsafeSlow(this.#bucket.partBytes);
  }

  async #sendPart(part: Uint8Array): Promise<void> {
    const { client } = this.#bucket;
    const { signal } = this.#controller;
    if (this.#upload === undefined) {
      const key = `${incomingFolder}${randomBytes(16).toString('hex')}`;
      this.#bucket.holdIncoming(key);
      this.#upload = { key, uploadId: await this.#createUpload(key), parts: [] };
    }
    const { parts } = this.#upload;
    parts.push(await client.uploadPart(this.#upload, parts.length + 1, part, signal));
  }

  async #createUpload(key: string): Promise<string> {
    try {
      return await this.#bucket.client.createUpload(key, this.#controller.signal);
    } catch (error) {
      this.#bucket.releaseIncoming(key);
      throw error;
    }
  }

  async #publish(cid: ShardCid): Promise<void> {
    const { client } = this.#bucket;
    const { signal } = this.#controller;
    let isStored = false;
    try {
      this.#signal?.throwIfAborted();
      await this.#pending;
      await this.#sending;
      const name = this.#bucket.keyOf(cid);
      if (this.#upload === undefined) {
        await client.put(name, this.#buffer.subarray(0, this.#filledBytes), signal);
      } else {
        await this.#sendPart(this.#buffer.subarray(0, this.#filledBytes));
        await client.completeUpload(this.#upload, this.#upload.parts, signal);
        await client.copy(this.#upload.key, name, signal);
      }
      isStored = true;
    } catch (error) {
      throw this.#bucket.explain('commit', error, this.#signal);
    } finally {
      this.#end(isStored);
    }
  }

  async #discard(): Promise<void> {
    this.#controller.abort(new DOMException('The shard was given up', 'AbortError'));
    await this.#pending?.catch(ignoreError);
    await this.#sending.catch(ignoreError);
    this.#end(false);
  }

  #end(isStored: boolean): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
    for (const lease of this.#leases) lease.release();
    if (!isStored) this.#bucket.giveSpaceBack(this.#takenBytes);
    const upload = this.#upload;
    if (upload === undefined) return;
    this.#bucket.leaveBehind(async (signal) => {
      const { client } = this.#bucket;
      try {
        if (!isStored) await client.abortUpload(upload, signal);
        // Also after an abort: whether the upload was completed before something failed is not known.
        await client.delete(upload.key, signal);
      } finally {
        this.#bucket.releaseIncoming(upload.key);
      }
    });
  }
}

function ignoreError(): void {}
