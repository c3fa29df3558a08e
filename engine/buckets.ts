import type { Buckets } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import { findBucket } from './find-object.ts';
import { journaled } from './journaled.ts';

/** Buckets are the metadata store's own. */
export function createBuckets(parts: EngineParts): Buckets {
  const { metadata } = parts;
  return {
    create: (bucket) => journaled(parts, metadata.createBucket(bucket)),
    get: (name) => findBucket(parts, name),
    list: (query) => metadata.listBuckets(query),
    // Like any other delete it must work when providers are full or gone, and repeating it would not give the same answer.
    delete: (name) => metadata.deleteBucket(name),
    setVersioning: (name, state) => journaled(parts, metadata.setVersioning(name, state)),
  };
}
