import { systemProfileName } from '../../metadata/metadata-store.ts';
import { isBatchName } from './journal-batch.ts';
import { proveStripe } from './prove-stripe.ts';
import type { Chain, ChainReader, ChainReadParts } from './read-chain.ts';
import { groupByStripe, type ScanParts, scanShards } from './scan-shards.ts';
import { measureStripe, type SystemLocation } from './system-location.ts';
import { systemBucketId } from './write-system-object.ts';

/**
 * Batches of the journal that no root points to yet, found by the manifests of their stripes, the newest first.
 */
export async function findBatches(
  parts: ChainReadParts,
  scan: ScanParts,
  signal: AbortSignal,
): Promise<SystemLocation[]> {
  const found = await scanShards(
    scan,
    async (page) => page,
    (identity) => identity.profileName === systemProfileName,
    signal,
  );
  const batches: SystemLocation[] = [];
  for (const variants of groupByStripe(found).values()) {
    const proven = await proveStripe(parts, variants, signal);
    const [entry] = proven?.entries ?? [];
    if (proven === undefined) continue;
    if (entry?.kind !== 'version' || entry.bucketId !== systemBucketId || !isBatchName(entry.key)) continue;
    const { number, key: name, content } = entry;
    const { sizeBytes, spans } = content;
    batches.push({ name, number, sizeBytes, spans, stripes: [measureStripe(proven.stripe)] });
  }
  return batches.sort((a, b) => b.number - a.number);
}

/** The chain of the newest batch from which one can be walked, and what stood in the way of newer ones. */
export async function walkNewest(
  reader: ChainReader,
  batches: readonly SystemLocation[],
  signal: AbortSignal,
): Promise<{ chain: Chain | undefined; problems: string[] }> {
  const problems: string[] = [];
  for (const batch of batches) {
    try {
      return { chain: await reader.walk(batch, signal), problems };
    } catch (error) {
      signal.throwIfAborted();
      const cause = error instanceof Error ? error.message : String(error);
      problems.push(`batch "${batch.name}" of the journal leads nowhere: ${cause}; what it tells is lost`);
    }
  }
  return { chain: undefined, problems };
}
