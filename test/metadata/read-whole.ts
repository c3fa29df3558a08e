import type { ShardCid, StripeId, Version } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { withoutIds } from './count-placements.ts';
import { ownerId } from './metadata-fixtures.ts';

/** What there is to ask a store for. */
export interface Asked {
  readonly bucketNames: readonly string[];
  /** Bucket, key and id of uploads, open or not. */
  readonly uploads: readonly (readonly [bucket: string, key: string, uploadId: string])[];
  readonly stripeIds: readonly StripeId[];
  readonly cids: readonly ShardCid[];
  readonly numbers: readonly number[];
  readonly settings: readonly string[];
}

/** Every answer that a store gives, as plain data: two stores that hold the same give the same. */
export async function readWhole(store: MetadataStore, asked: Asked): Promise<unknown> {
  const stripes = await store.findStripes(asked.stripeIds);
  return {
    usage: await store.countUsage(),
    buckets: (await store.listBuckets({ ownerId, limit: 1000 })).buckets,
    contents: await Promise.all(asked.bucketNames.map((bucket) => readBucket(store, bucket))),
    uploads: await Promise.all(asked.uploads.map(([...upload]) => readUpload(store, ...upload))),
    stripes: asked.stripeIds.map((id) => stripes.get(id)),
    degraded: await store.listDegradedStripes(1000),
    freed: await store.listFreedStripes(Number.MAX_SAFE_INTEGER, 1000),
    freedAt: await readFreedTimes(store),
    placements: withoutIds(await store.listPlacements()),
    live: await store.listStripes(undefined, 1000),
    oldestDegradedMs: await store.findOldestDegradedMs(),
    providers: await store.listProviders(),
    sparse: await store.listSparseStripes(1000),
    references: await Promise.all(asked.stripeIds.map((id) => readReferences(store, id))),
    knownShards: [...(await store.knownShards(asked.cids))].sort(),
    knownNumbers: [...(await store.knownNumbers(asked.numbers))].sort(),
    settings: await Promise.all(asked.settings.map((name) => store.findSetting(name))),
  };
}

async function readBucket(store: MetadataStore, bucket: string): Promise<unknown> {
  if (!(await store.findBucket(bucket))) return undefined;
  const listed = await store.listVersions({ bucket, limit: 1000 });
  const versions: unknown[] = [];
  for (const { key, versionId } of listed.versions) {
    versions.push(plain(await store.findVersion(bucket, key, versionId)), plain(await store.findVersion(bucket, key)));
  }
  const objects = await store.listObjects({ bucket, limit: 1000 });
  const folders = await store.listObjects({ bucket, limit: 1000, delimiter: '/' });
  return { listed, versions, objects, folders, uploads: await store.listUploads({ bucket, limit: 1000 }) };
}

async function readUpload(store: MetadataStore, bucket: string, key: string, uploadId: string): Promise<unknown> {
  if (!(await store.findBucket(bucket))) return undefined;
  const upload = await store.findUpload(bucket, key, uploadId);
  const completion = await store.findCompletion(bucket, key, uploadId);
  return { upload, completion, parts: upload && (await store.listParts(bucket, key, uploadId)) };
}

async function readReferences(store: MetadataStore, id: StripeId): Promise<unknown> {
  const references = await store.listReferences(id);
  return references.map((each) => (each.kind === 'version' ? { ...each, version: plain(each.version) } : each));
}

/** When each freed stripe was freed: the first time before which it is not listed, by bisection. */
async function readFreedTimes(store: MetadataStore): Promise<number[]> {
  const times: number[] = [];
  const count = (await store.listFreedStripes(Number.MAX_SAFE_INTEGER, 1000)).length;
  for (let place = 0; place < count; place++) {
    let [low, high] = [0, 2 ** 42];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((await store.listFreedStripes(middle, 1000)).length > place) high = middle;
      else low = middle + 1;
    }
    times.push(low - 1);
  }
  return times;
}

function plain(version: Version | undefined): unknown {
  return version && { ...version };
}
