import { randomBytes } from 'node:crypto';
import type { ShardCid } from '../core/model.ts';
import type { NodeMetrics } from '../core/node-metrics.ts';
import type { Provider, ShardWriter } from '../placement/providers/provider.ts';
import { appendPieces } from './append-pieces.ts';
import { NodeFault } from './node-fault.ts';

/** So many commits are remembered, for gateways that did not hear the answer and ask again. */
const rememberedCommits = 1024;

interface Upload {
  readonly writer: ShardWriter;
  bytes: number;
  lastUsedAtMs: number;
  /** A call is under way; there is one at a time. */
  isBusy: boolean;
}

/**
 * Shards that are being sent piece by piece. Nothing of them is visible before their commit. One that nobody asks for
 * any more is dropped after a while; what a crash leaves, the provider drops at start.
 */
export class UploadTable {
  readonly #provider: Provider;
  readonly #metrics: NodeMetrics;
  readonly #maxUploads: number;
  readonly #idleMs: number;
  readonly #uploads = new Map<string, Upload>();
  readonly #commits = new Map<string, ShardCid>();
  readonly #sweeping: NodeJS.Timeout;
  #opening = 0;

  /** @param parts.idleMs after how long without a call an upload is dropped */
  constructor(parts: { provider: Provider; metrics: NodeMetrics; maxUploads: number; idleMs: number }) {
    this.#provider = parts.provider;
    this.#metrics = parts.metrics;
    this.#maxUploads = parts.maxUploads;
    this.#idleMs = parts.idleMs;
    this.#sweeping = setInterval(() => void this.#dropIdle(), Math.min(60_000, Math.ceil(parts.idleMs / 2)));
    this.#sweeping.unref();
  }

  /** @returns the upload's id */
  async create(signal: AbortSignal): Promise<string> {
    if (this.#uploads.size + this.#opening >= this.#maxUploads) {
      throw new NodeFault('overloaded', `there are ${this.#maxUploads} uploads already`);
    }
    this.#opening++;
    try {
      // Its signal ends with this request, and the upload must not.
      const writer = await this.#provider.createShard();
      if (signal.aborted) {
        await writer.abort();
        throw signal.reason;
      }
      const id = randomBytes(16).toString('hex');
      this.#uploads.set(id, { writer, bytes: 0, lastUsedAtMs: performance.now(), isBusy: false });
      this.#report();
      return id;
    } finally {
      this.#opening--;
    }
  }

  /** Adds a body at `offset`, which must be where the upload ends. When this throws, the upload is gone. */
  async append(id: string, offset: number, pieces: AsyncIterable<readonly Uint8Array[]>): Promise<void> {
    const upload = this.#take(id);
    try {
      if (offset !== upload.bytes) throw new NodeFault('bad-request', `the upload has ${upload.bytes} bytes`);
      await appendPieces(upload.writer, pieces, (bytes) => {
        upload.bytes += bytes;
      });
      this.#giveBack(id, upload);
    } catch (error) {
      await this.#drop(id, upload);
      throw error;
    }
  }

  /** Makes the shard durable and visible; when this resolves it is. The upload is gone, whatever happens. */
  async commit(id: string, cid: ShardCid, bytes: number): Promise<void> {
    if (this.#commits.get(id) === cid) return;
    const upload = this.#take(id);
    try {
      if (bytes !== upload.bytes) throw new NodeFault('bad-request', `the upload has ${upload.bytes} bytes`);
      await upload.writer.commit(cid);
      this.#remember(id, cid);
    } finally {
      await this.#drop(id, upload);
    }
  }

  /** Drops an upload; one that is not there is dropped already. */
  async drop(id: string): Promise<void> {
    const upload = this.#uploads.get(id);
    if (upload !== undefined) await this.#drop(id, upload);
  }

  /** Drops all of them. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await Promise.all([...this.#uploads].map(([id, upload]) => this.#drop(id, upload)));
  }

  #take(id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined) throw new NodeFault('upload-missing', 'there is no such upload, or it was left too long');
    if (upload.isBusy) throw new NodeFault('bad-request', 'a call for this upload is under way');
    upload.isBusy = true;
    return upload;
  }

  #giveBack(id: string, upload: Upload): void {
    upload.isBusy = false;
    upload.lastUsedAtMs = performance.now();
    // It was dropped in the midst of the call.
    if (!this.#uploads.has(id)) throw new NodeFault('upload-missing', 'the upload was dropped');
  }

  async #drop(id: string, upload: Upload): Promise<void> {
    this.#uploads.delete(id);
    this.#report();
    await upload.writer.abort();
  }

  async #dropIdle(): Promise<void> {
    const nowMs = performance.now();
    for (const [id, upload] of this.#uploads) {
      if (upload.isBusy || nowMs - upload.lastUsedAtMs < this.#idleMs) continue;
      this.#metrics.uploadsExpired.inc();
      await this.#drop(id, upload);
    }
  }

  #remember(id: string, cid: ShardCid): void {
    this.#commits.set(id, cid);
    if (this.#commits.size <= rememberedCommits) return;
    const [oldest] = this.#commits.keys();
    if (oldest !== undefined) this.#commits.delete(oldest);
  }

  #report(): void {
    this.#metrics.uploads.set(this.#uploads.size);
  }
}
