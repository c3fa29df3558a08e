import assert from 'node:assert/strict';
import type { ShardCid, Stripe, StripeId } from '../../core/model.ts';
import { shardBytes } from '../../erasure/shard-format.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { extentsOf } from '../harness/extents-of.ts';

const pageEntries = 1000;

/**
 * Compares what providers keep with what the metadata need, after upkeep has done all that it can. Fails for a shard
 * that no live stripe has recorded there, for a stripe that nothing refers to, for one that lacks a shard, and for one whose shard is
 * not where it should be or not as long.
 *
 * @param isExcused shards that somebody else made away with
 */
export async function auditStorage(parts: {
  metadata: MetadataStore;
  providers: readonly Provider[];
  buckets: readonly string[];
  isExcused?: (provider: Provider, cid: ShardCid) => boolean;
}): Promise<{ readonly stripes: number; readonly shards: number }> {
  const { metadata, providers } = parts;
  const needed = new Set<StripeId>();
  for (const bucket of parts.buckets) await addStripes(metadata, bucket, needed);
  for (const object of await metadata.listSystemObjects()) {
    for (const { stripeId } of extentsOf(object)) needed.add(stripeId);
  }
  const stripes = await metadata.findStripes([...needed]);
  assert.equal(stripes.size, needed.size, 'stripes that objects need and nobody knows');
  const { liveStripes, freedStripes, degradedStripes } = await metadata.countUsage();
  assert.deepEqual(
    { liveStripes, freedStripes, degradedStripes },
    { liveStripes: needed.size, freedStripes: 0, degradedStripes: 0 },
  );
  const listed = new Map<Provider, Set<ShardCid>>();
  for (const provider of providers) listed.set(provider, await listShards(provider));
  const shards = [...stripes.values()].flatMap((stripe) => stripe.shards);
  for (const [provider, cids] of listed) {
    const recorded = new Set(shards.filter(({ providerId }) => providerId === provider.id).map(({ cid }) => cid));
    const orphans = [...cids].filter((cid) => !recorded.has(cid));
    assert.deepEqual(orphans, [], `shards at ${provider.id} that no live stripe knows there`);
  }
  for (const stripe of stripes.values()) await checkStripe(stripe, providers, parts.isExcused ?? (() => false));
  return { stripes: stripes.size, shards: shards.length };
}

async function checkStripe(
  stripe: Stripe,
  providers: readonly Provider[],
  isExcused: (provider: Provider, cid: ShardCid) => boolean,
): Promise<void> {
  const holders = new Set(stripe.shards.map(({ providerId }) => providerId));
  assert.equal(holders.size, stripe.shards.length, `two shards of stripe ${stripe.id} at one provider`);
  for (const { index, providerId, cid } of stripe.shards) {
    const provider = providers.find(({ id }) => id === providerId);
    assert.ok(provider, `no provider ${providerId}`);
    if (isExcused(provider, cid)) continue;
    const { bytes } = await provider.statShard(cid);
    assert.equal(bytes, shardBytes(stripe, index), `length of shard ${index} of stripe ${stripe.id}`);
  }
}

async function addStripes(metadata: MetadataStore, bucket: string, needed: Set<StripeId>): Promise<void> {
  let markers: { keyMarker?: string; versionIdMarker?: string } = {};
  for (let isTruncated = true; isTruncated; ) {
    const page = await metadata.listVersions({ bucket, limit: pageEntries, ...markers });
    for (const { kind, key, versionId } of page.versions) {
      const version = kind === 'object' ? await metadata.findVersion(bucket, key, versionId) : undefined;
      if (version?.kind === 'object') for (const { stripeId } of extentsOf(version)) needed.add(stripeId);
    }
    isTruncated = page.isTruncated;
    markers = { keyMarker: page.nextKeyMarker ?? '', versionIdMarker: page.nextVersionIdMarker ?? '' };
  }
  const { uploads, isTruncated } = await metadata.listUploads({ bucket, limit: pageEntries });
  assert.ok(!isTruncated, 'more uploads than an audit looks at');
  for (const { key, uploadId } of uploads) {
    const { parts } = await metadata.listParts(bucket, key, uploadId);
    for (const part of parts) for (const { stripeId } of extentsOf(part)) needed.add(stripeId);
  }
}

async function listShards(provider: Provider): Promise<Set<ShardCid>> {
  const cids = new Set<ShardCid>();
  let cursor: string | undefined;
  do {
    const page = await provider.listShards(cursor, pageEntries);
    for (const { cid } of page.shards) cids.add(cid);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return cids;
}
