import { createHash, randomBytes } from 'node:crypto';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as digest from 'multiformats/hashes/digest';
import type { Clock } from '../../core/clock.ts';
import type {
  Extent,
  ObjectAttributes,
  Part,
  PlacedShard,
  ProviderId,
  ProviderRecord,
  SealedSpan,
  ShardCid,
  StripeId,
  Upload,
} from '../../core/model.ts';
import type { MetadataStore, NewStripe, PutPart, PutVersion } from '../../metadata/metadata-store.ts';

export const ownerId = 'a1'.repeat(32);
export const strangerId = 'b2'.repeat(32);
export const bucketName = 'bucket';

/** How a suite gets the store that it tests: a new and empty one each time. */
export interface StoreSetup {
  readonly store: MetadataStore;
  /** Closes the store and removes its files. */
  cleanUp(): Promise<void>;
}
export type MakeStore = (parts: { clock: Clock }) => Promise<StoreSetup>;

export interface TestClock extends Clock {
  nowMs: number;
}

export function createClock(nowMs = Date.UTC(2024, 0, 1)): TestClock {
  return {
    nowMs,
    now() {
      return this.nowMs;
    },
  };
}

export function cidOf(content: string): ShardCid {
  return cidOfDigest(createHash('sha256').update(content).digest());
}

export function cidOfDigest(sha256: Uint8Array): ShardCid {
  return CID.createV1(raw.code, digest.create(0x12, sha256)).toString() as ShardCid;
}

/** What the shards of a test's stripe take: half again as much as the data, and a footer for each of six. */
export function storedBytesOf(dataBytes: number): number {
  return Math.ceil(dataBytes * 1.5) + 6 * 64;
}

/** A stripe of RS 4+2 with all shards, or only the first `placed` of them. */
export function newStripe({
  placed = 6,
  dataBytes = 4096,
  storedBytes = storedBytesOf(dataBytes),
}: {
  placed?: number;
  dataBytes?: number;
  storedBytes?: number;
} = {}): NewStripe {
  const id = randomBytes(16).toString('hex') as StripeId;
  const shards = Array.from({ length: placed }, (_, index) => placeShard(id, index, `p${index}`));
  const cut = { profileName: 'STANDARD', k: 4, m: 2, blockBytes: 4096, dataBytes, manifestBytes: 100 };
  return { id, ...cut, shardCount: 6, storedBytes, shards };
}

export function placeShard(stripeId: StripeId, index: number, providerId: string): PlacedShard {
  return { index, providerId: providerId as ProviderId, cid: cidOf(`${stripeId} ${index}`) };
}

export function providerRecord(id: string, changes: Partial<ProviderRecord> = {}): ProviderRecord {
  return {
    id: id as ProviderId,
    state: 'active',
    operator: 'somebody',
    country: 'NL',
    zone: '',
    weight: 1,
    location: { kind: 'node', endpoint: 'https://node.example:9100', keyId: 'key', secret: 'secret' },
    stateSinceMs: 1_700_000_000_000,
    ...changes,
  };
}

export function extentsOf(stripes: readonly NewStripe[]): Extent[] {
  return stripes.map(({ id, dataBytes }) => ({ stripeId: id, offset: 0, length: dataBytes }));
}

/** One sealed stream in these extents, whole; no span for no extents. */
export function spansOf(extents: readonly Extent[], keyByte = 7): SealedSpan[] {
  if (extents.length === 0) return [];
  const length = sizeOf(extents);
  return [{ wrappedKey: new Uint8Array(40).fill(keyByte), streamBytes: length, offset: 0, length, extents }];
}

export function extentsIn(content: { readonly spans: readonly SealedSpan[] }): Extent[] {
  return content.spans.flatMap(({ extents }) => extents);
}

function sizeOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.length, 0);
}

let lastNumber = 0;

/** As `drawNumber` gives them, for requests that are made before there is a store: each once, all from before the clock of the tests. */
export function nextNumber(): number {
  lastNumber += 1;
  return lastNumber;
}

export const plainAttributes: ObjectAttributes = {
  headers: {},
  userMetadata: {},
  tags: {},
  storageClass: 'STANDARD',
};

export type PutOptions = Partial<PutVersion> & { readonly etag?: string; readonly extents?: readonly Extent[] };

/** A PUT of a small object: no bytes, unless stripes or extents are given. */
export function putRequest(key: string, options: PutOptions = {}): PutVersion {
  const { etag = 'd41d8cd98f00b204e9800998ecf8427e', extents, stripes = [], ...rest } = options;
  const all = extents ?? extentsOf(stripes);
  return {
    bucket: bucketName,
    key,
    number: nextNumber(),
    ownerId,
    modifiedAtMs: 1_700_000_000_123,
    content: { spans: spansOf(all), etag, sizeBytes: sizeOf(all) },
    attributes: plainAttributes,
    stripes,
    ...rest,
  };
}

export function uploadOf(key: string, uploadId: string): Upload {
  return {
    uploadId,
    bucket: bucketName,
    key,
    ownerId,
    initiatorId: strangerId,
    initiatedAtMs: 1_700_000_000_456,
    attributes: plainAttributes,
  };
}

export function partOf(partNumber: number, extents: readonly Extent[]): Part {
  const common = { partNumber, modifiedAtMs: 1_700_000_000_789, etag: `etag-${partNumber}` };
  return { ...common, sizeBytes: sizeOf(extents), spans: spansOf(extents, partNumber) };
}

/** A PUT of a part: its stripes, or extents into live ones. */
export function partRequest(
  upload: Upload,
  partNumber: number,
  { stripes = [], extents = extentsOf(stripes), etag }: Partial<PutPart> & { extents?: Extent[]; etag?: string },
): PutPart {
  const part = partOf(partNumber, extents);
  const { bucket, key, uploadId } = upload;
  return { bucket, key, uploadId, number: nextNumber(), part: etag === undefined ? part : { ...part, etag }, stripes };
}

export async function createBucket(
  store: MetadataStore,
  versioning: 'unversioned' | 'enabled' | 'suspended' = 'unversioned',
  name = bucketName,
): Promise<void> {
  await store.createBucket({ name, ownerId, region: 'us-east-1', createdAtMs: 1_700_000_000_000 });
  if (versioning !== 'unversioned') await store.setVersioning(name, versioning);
}

/** Ids of the stripes that nothing refers to any more. */
export async function freedStripes(store: MetadataStore): Promise<string[]> {
  const freed = await store.listFreedStripes(Number.MAX_SAFE_INTEGER, 1_000_000);
  return freed.map((stripe) => stripe.id).sort();
}

/** Runs `test` with a store of its own and a bucket in it. */
export function withStore(
  make: MakeStore,
  test: (store: MetadataStore, clock: TestClock) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const clock = createClock();
    const { store, cleanUp } = await make({ clock });
    try {
      await test(store, clock);
    } finally {
      await cleanUp();
    }
  };
}
