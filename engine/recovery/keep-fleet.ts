import type { ProviderRecord } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';

/**
 * Takes the providers that were asked into a recovered store, where they are now. What else was known of them the journal has told, but
 * for one that joined just before the loss: there it is joining still, though it may hold shards by now.
 *
 * @param asked as they are to be known where the journal does not know them
 */
export async function keepFleet(
  metadata: Pick<MetadataStore, 'listProviders' | 'putProvider'>,
  asked: readonly ProviderRecord[],
): Promise<void> {
  const known = new Map((await metadata.listProviders()).map((record) => [record.id, record]));
  for (const record of asked) {
    const told = known.get(record.id) ?? record;
    const { state, stateSinceMs } = told.state === 'joining' ? record : told;
    await metadata.putProvider({ ...told, state, stateSinceMs, location: record.location });
  }
}
