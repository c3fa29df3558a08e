import { isFailure } from '../core/failure.ts';
import type { Bucket } from '../core/model.ts';
import type { NewBucket } from '../metadata/metadata-store.ts';
import type { Buckets } from './engine.ts';
import { type EngineParts, findProfile } from './engine-parts.ts';
import { findBucket } from './find-object.ts';
import { journaled } from './journaled.ts';

/** Buckets are the metadata store's own. */
export function createBuckets(parts: EngineParts): Buckets {
  const { metadata } = parts;
  return {
    create: (bucket) => createBucket(parts, bucket),
    get: (name) => findBucket(parts, name),
    list: (query) => metadata.listBuckets(query),
    // Like any other delete it must work when providers are full or gone, and repeating it would not give the same answer.
    delete: (name) => metadata.deleteBucket(name),
    setVersioning: (name, state) => journaled(parts, metadata.setVersioning(name, state)),
    async setProfile(name, profileName) {
      if (profileName !== undefined) findProfile(parts, profileName);
      await journaled(parts, metadata.setBucketProfile(name, profileName));
    },
    setETags: (name, etags) => journaled(parts, metadata.setBucketETags(name, etags)),
  };
}

/** A client that repeats a call whose answer it lost may be told that all is well: then the bucket must be journaled too. */
async function createBucket(parts: EngineParts, bucket: NewBucket): Promise<Bucket> {
  try {
    return await journaled(parts, parts.metadata.createBucket(bucket));
  } catch (error) {
    if (isFailure(error, 'bucket-exists')) await parts.journal.flush();
    throw error;
  }
}
