import { digestOfCid } from '../../../core/cid-digest.ts';
import { type Clock, systemClock } from '../../../core/clock.ts';
import { Failure, isFailure } from '../../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../../core/model.ts';
import {
  type Capacity,
  maxRootBytes,
  type Provider,
  type ShardPage,
  type ShardStat,
  type ShardWriter,
} from '../provider.ts';
import type { ProviderCall } from '../wrapped-provider.ts';
import { BytesSink, ExactSink, JsonSink } from './answer-sink.ts';
import { decodeStat, statResultBytes } from './batch-frames.ts';
import { CallBatcher, CallRefusal, type SmallCall } from './call-batcher.ts';
import { NodeConnection, type NodeRequest } from './node-connection.ts';
import { parseNodeEndpoint } from './node-endpoint.ts';
import { NodeRefusal } from './node-exchange.ts';
import type { NodeKey } from './node-key.ts';
import {
  capacityPath,
  maxPageShards,
  maxSmallPutBytes,
  maxSmallReadBytes,
  reclaimPath,
  rootPath,
  shardsPath,
  uploadsPath,
} from './node-protocol.ts';
import { NodeShardWriter } from './node-shard-writer.ts';
import { parseCapacity, parsePage, parseReclaim, parseRoot, parseUpload } from './parse-answers.ts';

const defaultConnections = 16;
/** Puts, reads and deletes have connections of their own, and so do all other calls. */
export const minNodeConnections = 4;
export const maxNodeConnections = 256;
const maxAnswerBytes = 4096;
/** The longest line of a listing, and what stands around the lines. */
const maxPageShardBytes = 128;
const noBuffers: readonly Uint8Array[] = [];

export interface NodeProviderOptions {
  readonly id: ProviderId;
  /** `http://host:port` or `https://host:port`. */
  readonly endpoint: string;
  readonly key: NodeKey;
  /** The most sockets; 16 unless given, from `minNodeConnections` to `maxNodeConnections`. */
  readonly connections?: number;
  /** How long a connection may take to be made; 5 s unless given. */
  readonly connectTimeoutMs?: number;
  /** How long the node may send nothing while it is waited for; 60 s unless given. `withDeadline` ends calls sooner. */
  readonly idleTimeoutMs?: number;
  /** Certificates to trust instead of the system's, in PEM: for a node that signed its own. */
  readonly ca?: string;
  /**
   * Whether signatures cover the bytes of bodies. Unless given, they do where the path is not protected by TLS, which
   * else vouches for them at no further cost.
   */
  readonly signsContent?: boolean;
  /** The date of requests; the system's unless given. */
  readonly clock?: Clock;
}

/**
 * A Holdfast node (docs/node-protocol.md). Nothing is sent before the first call: a node that is away fails its calls
 * and is found again once it is back.
 *
 * @throws RangeError for an endpoint or a number of connections that cannot be
 */
export function openNodeProvider(options: NodeProviderOptions): Provider {
  return new NodeProvider(options);
}

class NodeProvider implements Provider {
  readonly id: ProviderId;
  readonly #connection: NodeConnection;
  readonly #puts: CallBatcher;
  readonly #reads: CallBatcher;
  readonly #deletes: CallBatcher;

  constructor(options: NodeProviderOptions) {
    const { id, key, connections = defaultConnections, connectTimeoutMs = 5_000, idleTimeoutMs = 60_000 } = options;
    if (!(Number.isInteger(connections) && connections >= minNodeConnections && connections <= maxNodeConnections)) {
      throw new RangeError(`${connections} connections; from ${minNodeConnections} to ${maxNodeConnections} can be`);
    }
    const endpoint = parseNodeEndpoint(options.endpoint);
    this.id = id;
    // Half of the connections are for batches: mostly for reads, since puts gather while a flush is under way anyhow.
    const putWidth = Math.max(1, connections >> 3);
    const readWidth = Math.max(1, connections >> 2);
    this.#connection = new NodeConnection({
      endpoint,
      key,
      clock: options.clock ?? systemClock,
      connections,
      sharedConnections: connections - putWidth - readWidth - 1,
      connectTimeoutMs,
      idleTimeoutMs,
      signsContent: options.signsContent ?? !endpoint.isTls,
      ca: options.ca,
    });
    this.#puts = new CallBatcher({ connection: this.#connection, width: putWidth });
    this.#reads = new CallBatcher({ connection: this.#connection, width: readWidth });
    this.#deletes = new CallBatcher({ connection: this.#connection, width: 1 });
  }

  async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    let length = 0;
    for (const buffer of buffers) length += buffer.length;
    if (length <= maxSmallPutBytes) {
      await this.#callSmall('putShard', this.#puts, { kind: 'put', cid, length, buffers }, signal);
      return;
    }
    const request = { method: 'PUT', target: `${shardsPath}/${cid}`, body: buffers, sink: new BytesSink(0) } as const;
    await this.#send('putShard', request, signal);
  }

  async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    const sink = new JsonSink(maxAnswerBytes, parseUpload);
    const uploadId = await this.#send('createShard', { method: 'POST', target: uploadsPath, sink }, signal);
    return new NodeShardWriter({
      connection: this.#connection,
      uploadId,
      signal,
      explain: (call, error) => this.#explain(call, error, undefined),
    });
  }

  async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (length <= maxSmallReadBytes) {
      return this.#callSmall(
        'readShard',
        this.#reads,
        { kind: 'read', cid, offset, length, resultBytes: length },
        signal,
      );
    }
    const target = `${shardsPath}/${cid}?offset=${offset}&length=${length}`;
    return this.#send('readShard', { method: 'GET', target, sink: new ExactSink(length) }, signal, cid);
  }

  async statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    const call = { kind: 'stat', cid, length: 0, resultBytes: statResultBytes } as const;
    const bytes = await this.#callSmall('statShard', this.#reads, call, signal);
    try {
      return decodeStat(bytes);
    } catch (error) {
      throw this.#explain('statShard', error, cid);
    }
  }

  async deleteShard(cid: ShardCid, signal?: AbortSignal): Promise<void> {
    await this.#callSmall('deleteShard', this.#deletes, { kind: 'delete', cid, length: 0 }, signal);
  }

  async listShards(cursor: string | undefined, limit: number, signal?: AbortSignal): Promise<ShardPage> {
    const count = Math.min(limit, maxPageShards);
    const query = cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const sink = new JsonSink(maxAnswerBytes + count * maxPageShardBytes, (value) =>
      parsePage(value, { limit: count, cursor }),
    );
    return this.#send('listShards', { method: 'GET', target: `${shardsPath}?limit=${count}${query}`, sink }, signal);
  }

  async readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    // Base64 in JSON, so that a root that is empty and none at all are told apart.
    const sink = new JsonSink(2 * maxRootBytes, parseRoot);
    return this.#send('readRoot', { method: 'GET', target: rootPath, sink }, signal);
  }

  async writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (bytes.length > maxRootBytes)
      throw new RangeError(`a root of ${bytes.length} bytes, the most is ${maxRootBytes}`);
    await this.#send('writeRoot', { method: 'PUT', target: rootPath, body: [bytes], sink: new BytesSink(0) }, signal);
  }

  async reclaim(signal?: AbortSignal): Promise<boolean> {
    const sink = new JsonSink(maxAnswerBytes, parseReclaim);
    return this.#send('reclaim', { method: 'POST', target: reclaimPath, sink }, signal);
  }

  async capacity(signal?: AbortSignal): Promise<Capacity> {
    const sink = new JsonSink(maxAnswerBytes, parseCapacity);
    return this.#send('capacity', { method: 'GET', target: capacityPath, sink }, signal);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  async #send<T>(
    call: ProviderCall,
    request: NodeRequest<T>,
    signal: AbortSignal | undefined,
    cid?: ShardCid,
  ): Promise<T> {
    try {
      return await this.#connection.send(request, signal);
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.#explain(call, error, cid);
    }
  }

  async #callSmall(
    name: ProviderCall,
    batcher: CallBatcher,
    call: Pick<SmallCall, 'kind' | 'cid' | 'length'> & Partial<SmallCall>,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    try {
      signal?.throwIfAborted();
      const digest = digestOfCid(call.cid);
      if (digest === undefined) throw new TypeError(`${JSON.stringify(call.cid)} is not the name of a shard`);
      return await batcher.call({ offset: 0, buffers: noBuffers, resultBytes: 0, ...call, digest }, signal);
    } catch (error) {
      throw signal?.aborted ? signal.reason : this.#explain(name, error, call.cid);
    }
  }

  /** @param cid of a call that may find that its shard is missing */
  #explain(call: ProviderCall, error: unknown, cid: ShardCid | undefined): unknown {
    if (isFailure(error)) return error;
    const said = error instanceof NodeRefusal ? error.error : error instanceof CallRefusal ? error.outcome : undefined;
    if (said === 'provider-full') return new Failure('provider-full', { providerId: this.id }, { cause: error });
    const mayBeMissing = call === 'readShard' || call === 'statShard';
    if (said === 'shard-missing' && mayBeMissing && cid !== undefined) {
      return new Failure('shard-missing', { providerId: this.id, cid }, { cause: error });
    }
    return new Failure('provider-error', { providerId: this.id, call }, { cause: error });
  }
}
