import { digestOfCid } from '../core/cid-digest.ts';
import type { ShardCid } from '../core/model.ts';
import { callHeaderBytes, parseCalls } from '../placement/providers/node/batch-frames.ts';
import {
  maxBatchBytes,
  maxBatchReadBytes,
  maxPageShards,
  maxSmallReadBytes,
} from '../placement/providers/node/node-protocol.ts';
import { maxRootBytes } from '../placement/providers/provider.ts';
import { appendPieces } from './append-pieces.ts';
import type { NodeAnswer, NodeCall, NodeParts } from './node-call.ts';
import { NodeFault, outcomeOf } from './node-fault.ts';
import { runCalls } from './serve-batch.ts';

/** Large reads go out in pieces of this length. */
const readPieceBytes = 256 * 1024;
const empty: NodeAnswer = { kind: 'empty' };

export async function batch({ provider, budget, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const bodyBytes = Math.min(call.body.bytes, maxBatchBytes);
  // How much is read is known only from the body: until then, as much as there can be.
  const mostReadBytes = Math.min(maxBatchReadBytes, Math.ceil(bodyBytes / callHeaderBytes) * maxSmallReadBytes);
  const lease = await budget.acquire(bodyBytes + mostReadBytes, call.signal);
  call.defer(() => lease.release());
  const calls = parse(parseCalls, await call.body.readAll(maxBatchBytes));
  const readBytes = calls.reduce((sum, { kind, length }) => (kind === 'read' ? sum + length : sum), 0);
  lease.shrink(bodyBytes + readBytes);
  return { kind: 'stream', bytes: undefined, pieces: runCalls(calls, { provider, metrics, signal: call.signal }) };
}

/** A whole shard that is too long for a batch. It is written as it comes. */
export async function putShard({ provider, budget, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const cid = parseCid(call.name);
  const lease = await budget.acquire(2 * readPieceBytes, call.signal);
  call.defer(() => lease.release());
  await counted(metrics, 'put', async () => {
    const writer = await provider.createShard(call.signal);
    try {
      await appendPieces(writer, call.body.pieces());
      await writer.commit(cid);
    } finally {
      await writer.abort();
    }
  });
  return empty;
}

export async function readShard({ provider, budget, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const cid = parseCid(call.name);
  const offset = parseCount(call.query, 'offset');
  const length = parseCount(call.query, 'length');
  const { signal } = call;
  const lease = await budget.acquire(2 * Math.min(length, readPieceBytes), signal);
  call.defer(() => lease.release());
  return counted(metrics, 'read', async () => {
    if (length > readPieceBytes) {
      // Found now and not in the midst of the answer, where all that could be done is to cut it.
      const { bytes } = await provider.statShard(cid, signal);
      if (offset + length > bytes) throw new NodeFault('provider-error', `the shard has ${bytes} bytes`);
    }
    async function* readPieces(): AsyncGenerator<readonly Uint8Array[]> {
      const read = (at: number) => provider.readShard(cid, at, Math.min(readPieceBytes, end - at), signal);
      const end = offset + length;
      let next = read(offset);
      for (let at = offset; at < end || at === offset; at += readPieceBytes) {
        const piece = await next;
        if (at + readPieceBytes < end) {
          next = read(at + readPieceBytes);
          // It is waited for in the next round, which may not come.
          next.catch(() => {});
        }
        yield [piece];
      }
    }
    return { kind: 'stream', bytes: length, pieces: readPieces(), isReleased: true };
  });
}

export async function createUpload({ uploads, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  return counted(metrics, 'create', async () => ({
    kind: 'json',
    value: { upload: await uploads.create(call.signal) },
  }));
}

export async function appendUpload({ uploads, budget, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const offset = parseCount(call.query, 'offset');
  const lease = await budget.acquire(2 * readPieceBytes, call.signal);
  call.defer(() => lease.release());
  await counted(metrics, 'append', () => uploads.append(call.name, offset, call.body.pieces()));
  return empty;
}

export async function commitUpload({ uploads, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const cid = parseCid(call.query.get('cid') ?? '');
  const bytes = parseCount(call.query, 'bytes');
  await counted(metrics, 'commit', () => uploads.commit(call.name, cid, bytes));
  return empty;
}

export async function dropUpload({ uploads }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  await uploads.drop(call.name);
  return empty;
}

export async function listShards({ provider, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const limit = parseCount(call.query, 'limit');
  if (limit < 1 || limit > maxPageShards) throw new NodeFault('bad-request', `a limit from 1 to ${maxPageShards}`);
  return counted(metrics, 'list', async () => {
    const page = await provider.listShards(call.query.get('cursor') ?? undefined, limit, call.signal);
    const shards = page.shards.map(({ cid, bytes, modifiedAtMs }) => [cid, bytes, modifiedAtMs]);
    return { kind: 'json', value: { shards, cursor: page.cursor } };
  });
}

export async function readRoot({ provider, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  return counted(metrics, 'readRoot', async () => {
    const root = await provider.readRoot(call.signal);
    return { kind: 'json', value: { root: root === undefined ? null : Buffer.from(root).toString('base64') } };
  });
}

export async function writeRoot({ provider, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  const root = await call.body.readAll(maxRootBytes);
  await counted(metrics, 'writeRoot', () => provider.writeRoot(root, call.signal));
  return empty;
}

export async function reclaim({ provider, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  return counted(metrics, 'reclaim', async () => ({
    kind: 'json',
    value: { more: await provider.reclaim(call.signal) },
  }));
}

export async function capacity({ provider, metrics }: NodeParts, call: NodeCall): Promise<NodeAnswer> {
  return counted(metrics, 'capacity', async () => {
    const { totalBytes, freeBytes } = await provider.capacity(call.signal);
    return { kind: 'json', value: { totalBytes, freeBytes } };
  });
}

async function counted<T>(metrics: NodeParts['metrics'], call: string, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    metrics.countCall(call, 'ok');
    return result;
  } catch (error) {
    metrics.countCall(call, error instanceof NodeFault ? error.error : outcomeOf(error));
    throw error;
  }
}

function parseCid(text: string): ShardCid {
  if (digestOfCid(text) === undefined) throw new NodeFault('bad-request', 'this is not the name of a shard');
  return text as ShardCid;
}

function parseCount(query: URLSearchParams, name: string): number {
  const text = query.get(name) ?? '';
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw new NodeFault('bad-request', `${name} must be a number of bytes or shards`);
  return value;
}

function parse<T>(parser: (body: Buffer) => T, body: Buffer): T {
  try {
    return parser(body);
  } catch (error) {
    throw new NodeFault('bad-request', (error as Error).message);
  }
}
