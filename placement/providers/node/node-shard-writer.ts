import { AbortScope } from '../../../core/abort.ts';
import type { ShardCid } from '../../../core/model.ts';
import type { ShardWriter } from '../provider.ts';
import type { ProviderCall } from '../wrapped-provider.ts';
import { BytesSink } from './answer-sink.ts';
import type { NodeConnection, NodeRequest } from './node-connection.ts';
import { uploadsPath } from './node-protocol.ts';

/** How long `abort` waits for the node; it drops what nobody asks for by itself, later. */
const abortTimeoutMs = 5_000;

/** A shard that is sent piece by piece: the node keeps what came under the upload's id until the commit names it. */
export class NodeShardWriter implements ShardWriter {
  readonly #connection: NodeConnection;
  readonly #path: string;
  readonly #explain: (call: ProviderCall, error: unknown) => unknown;
  /** Aborts the call that is under way when the writer is finished before its time. */
  readonly #scope: AbortScope;
  readonly #signal: AbortSignal | undefined;
  #sentBytes = 0;
  /** The node may not have what was sent: nothing but `abort` makes sense any more. */
  #isBroken = false;
  #finish: Promise<void> | undefined;

  constructor(parts: {
    connection: NodeConnection;
    uploadId: string;
    signal: AbortSignal | undefined;
    /** The `Failure` to throw for an error. */
    explain: (call: ProviderCall, error: unknown) => unknown;
  }) {
    this.#connection = parts.connection;
    this.#path = `${uploadsPath}/${parts.uploadId}`;
    this.#signal = parts.signal;
    this.#scope = new AbortScope(parts.signal);
    this.#explain = parts.explain;
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#checkOpen();
    const body = buffers.filter((buffer) => buffer.length > 0);
    if (body.length === 0) return;
    const target = `${this.#path}?offset=${this.#sentBytes}`;
    try {
      await this.#send('append', { method: 'POST', target, body, sink: new BytesSink(0) }, this.#scope.signal);
    } catch (error) {
      this.#isBroken = true;
      throw error;
    }
    for (const buffer of body) this.#sentBytes += buffer.length;
  }

  async commit(cid: ShardCid): Promise<void> {
    this.#checkOpen();
    const committing = this.#commit(cid);
    this.#finish = committing.catch(() => {});
    await committing;
  }

  async #commit(cid: ShardCid): Promise<void> {
    try {
      const target = `${this.#path}/commit?cid=${cid}&bytes=${this.#sentBytes}`;
      await this.#send('commit', { method: 'POST', target, sink: new BytesSink(0) }, this.#signal);
    } catch (error) {
      await this.#discard();
      throw error;
    } finally {
      this.#scope.close();
    }
  }

  abort(): Promise<void> {
    if (this.#finish === undefined) {
      this.#scope.close();
      this.#finish = this.#discard();
    }
    return this.#finish;
  }

  async #send(call: ProviderCall, request: NodeRequest<unknown>, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#connection.send(request, signal);
    } catch (error) {
      throw this.#signal?.aborted ? this.#signal.reason : this.#explain(call, error);
    }
  }

  /** Has the node drop what it has, if it can be told. */
  async #discard(): Promise<void> {
    const request = { method: 'DELETE', target: this.#path, sink: new BytesSink(0) } as const;
    await this.#connection.send(request, AbortSignal.timeout(abortTimeoutMs)).catch(() => {});
  }

  #checkOpen(): void {
    if (this.#finish !== undefined) throw new Error('this shard was already committed or aborted');
    if (this.#isBroken) throw this.#explain('append', new Error('an earlier append failed'));
  }
}
