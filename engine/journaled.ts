import type { EngineParts } from './engine-parts.ts';

/**
 * What a write verb of the store gives, once the providers know of it too: for verbs that write no shards, whose manifests
 * could tell of it.
 */
export async function journaled<T>({ journal }: Pick<EngineParts, 'journal'>, write: Promise<T>): Promise<T> {
  const result = await write;
  await journal.flush();
  return result;
}
