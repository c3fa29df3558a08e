import { hash } from 'node:crypto';
import type { Bucket, ObjectVersion } from '../core/model.ts';
import type { Engine, Objects } from '../engine/engine.ts';

/**
 * An engine that stores nothing: what is PUT is digested for its ETag and dropped, and every key of every bucket holds the
 * same bytes. It is what the gateway's own cost is measured over; other verbs throw.
 */
export function createNullEngine(options: { ownerId: string; bytes: number }): Engine {
  const bucket: Bucket = {
    id: 1,
    name: 'bench',
    ownerId: options.ownerId,
    region: 'us-east-1',
    createdAtMs: 0,
    versioning: 'unversioned',
  };
  const answer = (name: string): Bucket => ({ ...bucket, name });
  return {
    buckets: only<Engine['buckets']>({
      create: async ({ name }) => answer(name),
      get: async (name) => answer(name),
    }),
    objects: createObjects(options),
    uploads: only<Engine['uploads']>({}),
  };
}

function createObjects({ ownerId, bytes }: { ownerId: string; bytes: number }): Objects {
  const content = Buffer.alloc(bytes, 'x');
  const stored: ObjectVersion = {
    kind: 'object',
    key: '',
    versionId: 'null',
    ownerId,
    modifiedAtMs: Date.UTC(2026, 0, 1),
    isLatest: true,
    headers: { contentType: 'binary/octet-stream' },
    userMetadata: {},
    tags: {},
    storageClass: 'STANDARD',
    sizeBytes: bytes,
    etag: hash('md5', content),
    spans: [],
    parts: [],
  };
  return only<Objects>({
    async put({ key, payload, attributes }) {
      const bytes = payload.readAll ? await payload.readAll() : await readPieces(payload.bytes);
      payload.declaredDigests();
      return { ...stored, ...attributes, key, sizeBytes: bytes.length, etag: hash('md5', bytes) };
    },
    async open({ key }) {
      return {
        version: { ...stored, key },
        offset: 0,
        length: bytes,
        isPartial: false,
        read: () => new OnlyChunk(new Uint8Array(content)),
        readWhole: async () => ({ bytes: new Uint8Array(content), release: () => {} }),
      };
    },
  });
}

/** The verbs that a benchmark calls; any other is a mistake in the benchmark. */
function only<Verbs extends object>(verbs: Partial<Verbs>): Verbs {
  return verbs as Verbs;
}

/** A buffer of its own, as the contract says: whoever reads it may give its memory back. */
class OnlyChunk implements AsyncIterableIterator<Uint8Array> {
  #chunk: Uint8Array | undefined;

  constructor(chunk: Uint8Array) {
    this.#chunk = chunk;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    const value = this.#chunk;
    this.#chunk = undefined;
    return value === undefined ? { done: true, value } : { done: false, value };
  }
}

async function readPieces(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const copies: Buffer[] = [];
  for await (const piece of pieces) copies.push(Buffer.from(piece));
  return Buffer.concat(copies);
}
