import { Failure } from '../core/failure.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Buckets } from './engine.ts';

/** Buckets are the metadata store's own. */
export function createBuckets({ metadata }: { metadata: MetadataStore }): Buckets {
  return {
    create: (bucket) => metadata.createBucket(bucket),
    async get(name) {
      const bucket = await metadata.findBucket(name);
      if (bucket === undefined) throw new Failure('bucket-missing', { bucket: name });
      return bucket;
    },
    list: (query) => metadata.listBuckets(query),
    delete: (name) => metadata.deleteBucket(name),
    setVersioning: (name, state) => metadata.setVersioning(name, state),
  };
}
