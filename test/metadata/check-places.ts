import assert from 'node:assert/strict';
import { isFailure } from '../../core/failure.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../core/model.ts';
import type { MetadataStore, NewStripe } from '../../metadata/metadata-store.ts';
import { providerRecord } from './metadata-fixtures.ts';

/**
 * Every live stripe is found once in the pages of all, and once in those of its placement; what is known at one provider is what stripes
 * have there; and a provider can be forgotten if and only if no stripe has anything there. `stripes` are all that are not forgotten.
 */
export async function checkPlaces(
  store: MetadataStore,
  stripes: ReadonlyMap<string, NewStripe>,
  live: readonly string[],
): Promise<void> {
  const expected = live.toSorted().map((id) => asFound(stripes.get(id)!));
  assert.deepEqual(await readPages((after) => store.listStripes(after, 2)), expected);
  const placed: Stripe[] = [];
  for (const placement of await store.listPlacements()) {
    const found = await readPages((after) => store.listPlacedStripes(placement.id, after, 2));
    assert.equal(found.length, placement.stripes);
    for (const { shards } of found) {
      assert.deepEqual(shards.map(({ providerId }) => providerId).sort(), placement.providers);
    }
    placed.push(...found);
  }
  const byId = (a: Stripe, b: Stripe) => (a.id < b.id ? -1 : 1);
  assert.deepEqual(placed.sort(byId), expected);

  const all = [...stripes.values()].flatMap(({ shards, lostShards = [] }) => [...shards, ...lostShards]);
  const cids = all.map(({ cid }) => cid);
  for (const id of ['p0', 'p5', 'repaired-0', 'repaired-1', 'repaired-2', 'nobody'] as ProviderId[]) {
    const there = all.filter(({ providerId }: PlacedShard) => providerId === id);
    assert.deepEqual(await store.knownShards(cids, id), new Set(there.map(({ cid }) => cid)));
    await store.putProvider(providerRecord(id));
    const forgetting = store.forgetProvider(id);
    if (there.length === 0) await forgetting;
    else await assert.rejects(forgetting, (error) => isFailure(error, 'provider-in-use'));
  }
}

function asFound({ shardCount: _, storedBytes: __, ...stripe }: NewStripe): Stripe {
  return stripe;
}

/** All that the pages of a listing have, each beginning after the last of the one before. */
async function readPages(read: (after: StripeId | undefined) => Promise<Stripe[]>): Promise<Stripe[]> {
  const all: Stripe[] = [];
  for (let page = await read(undefined); page.length > 0; page = await read(page.at(-1)!.id)) all.push(...page);
  return all;
}
