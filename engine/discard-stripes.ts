import type { ProviderId, ShardCid, Stripe } from '../core/model.ts';
import type { Fleet } from '../placement/fleet.ts';

/**
 * Deletes the shards of stripes that nothing will ever refer to. Never throws: a provider that fails once is left alone,
 * and what it keeps becomes an orphan for `collect`, so that a failed request does not wait for a dead provider twice.
 */
export async function discardStripes(
  { fleet }: { fleet: Fleet },
  stripes: readonly Pick<Stripe, 'shards'>[],
): Promise<void> {
  const byProvider = new Map<ProviderId, ShardCid[]>();
  for (const { shards } of stripes) {
    for (const { providerId, cid } of shards) {
      const cids = byProvider.get(providerId) ?? [];
      byProvider.set(providerId, cids);
      cids.push(cid);
    }
  }
  const deletions = Array.from(byProvider, async ([id, cids]) => {
    const provider = fleet.find(id);
    for (const cid of cids) await provider?.deleteShard(cid);
  });
  await Promise.allSettled(deletions);
}
