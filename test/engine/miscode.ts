import assert from 'node:assert/strict';
import type { PlacedShard, Stripe } from '../../core/model.ts';
import { findWrongParity } from '../../erasure/check-row.ts';
import { rowCount, storedBlockBytes } from '../../erasure/geometry.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import {
  digestBlock,
  encodeShardFooter,
  encodeShardHeader,
  shardBlockOffset,
  shardCid,
} from '../../erasure/shard-format.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Provider } from '../../placement/providers/provider.ts';

export const codec = await createPackageCodec();

/** What shards are planted into. */
export interface PlantedWorld {
  readonly providers: readonly Provider[];
  readonly metadata: MetadataStore;
}

/** Changes a block of a shard where it lies. */
export type Spoil = (block: Uint8Array, row: number) => void;

/** The blocks of a shard, row by row. */
export async function readBlocks(
  { providers }: Pick<PlantedWorld, 'providers'>,
  stripe: Stripe,
  shard: PlacedShard,
): Promise<Uint8Array[]> {
  const provider = providers.find(({ id }) => id === shard.providerId)!;
  const blocks: Uint8Array[] = [];
  for (let row = 0; row < rowCount(stripe); row++) {
    const bytes = storedBlockBytes(stripe, shard.index, row);
    if (bytes > 0) blocks.push(await provider.readShard(shard.cid, shardBlockOffset(stripe, row), bytes));
  }
  return blocks;
}

/** Replaces a shard by one that is whole in itself, and not what it should be. */
export async function miscode(
  world: PlantedWorld,
  stripe: Stripe,
  index: number,
  spoil: Spoil = (block, row) => {
    block[row % block.length]! ^= 1 + index;
  },
): Promise<PlacedShard> {
  const shard = stripe.shards.find((each) => each.index === index)!;
  const provider = world.providers.find(({ id }) => id === shard.providerId)!;
  const blocks = await readBlocks(world, stripe, shard);
  for (const [row, block] of blocks.entries()) spoil(block, row);
  const { id: stripeId, profileName, k, m, blockBytes } = stripe;
  const identity = { stripeId, profileName, k, m, index, blockBytes };
  const header = encodeShardHeader(identity);
  const footer = encodeShardFooter(identity, stripe, blocks.map(digestBlock));
  const cid = shardCid(header, footer);
  await provider.putShard(cid, [header, ...blocks, footer]);
  await provider.deleteShard(shard.cid);
  const planted = { ...shard, cid };
  await world.metadata.recordShard(stripe.id, planted);
  return planted;
}

/** Fails unless all shards of a stripe code to one another. */
export async function assertOneWord(world: Pick<PlantedWorld, 'providers'>, stripe: Stripe): Promise<void> {
  const stored = new Map<number, Uint8Array[]>();
  for (const shard of stripe.shards) stored.set(shard.index, await readBlocks(world, stripe, shard));
  for (let row = 0; row < rowCount(stripe); row++) {
    const blocks = Array.from({ length: stripe.k + stripe.m }, (_, index) => {
      const block = new Uint8Array(storedBlockBytes(stripe, 0, row));
      block.set(stored.get(index)?.[row] ?? []);
      return block;
    });
    assert.deepEqual(findWrongParity(codec, blocks, stripe), [], `row ${row}`);
  }
}
