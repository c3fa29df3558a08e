import { setTimeout as delay } from 'node:timers/promises';
import type { Profile } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { beginChunk, chunkName } from './snapshot-chunk.ts';
import type { SystemLocation } from './system-location.ts';
import { type SystemWriteParts, storeSystemObject } from './write-system-object.ts';

/** A snapshot that is complete. */
export interface WrittenSnapshot {
  readonly begin: number;
  readonly last: SystemLocation;
  readonly chunks: number;
  /** Of all chunks, deflated. */
  readonly bytes: number;
}

/** A chunk ends with the page that makes it this long, deflated. */
const chunkBytes = 2 ** 20;
/** A page is read in one turn of the event loop. */
const pageRecords = 200;

/**
 * Copies all records of the store into system objects. It is not of one moment: the batches of the journal with numbers
 * above `begin` make it whole. What was written when it throws stays, for the caller to drop.
 *
 * @param begin drawn before, and after every batch that does not count
 * @param isThrottled rest as long after each page as the page took, so that others come first
 * @throws Failure `too-few-writes`, `storage-full`, `overloaded`; the signal's reason
 */
export async function writeSnapshot(
  parts: SystemWriteParts & { readonly metadata: MetadataStore },
  { begin, profile, isThrottled }: { readonly begin: number; readonly profile: Profile; readonly isThrottled: boolean },
  signal: AbortSignal,
): Promise<WrittenSnapshot> {
  const { metadata } = parts;
  let cursor: string | undefined;
  let previous: SystemLocation | undefined;
  let bytes = 0;
  for (let index = 0; ; index++) {
    const encoder = beginChunk({ begin, index, ...(previous && { previous }) });
    do {
      signal.throwIfAborted();
      const startedAtMs = performance.now();
      const page = await metadata.readRecords(cursor, pageRecords);
      await encoder.add(page.records);
      cursor = page.cursor;
      if (isThrottled) await delay(performance.now() - startedAtMs, undefined, { signal, ref: false });
    } while (cursor !== undefined && encoder.bytes < chunkBytes);
    const isLast = cursor === undefined;
    const content = await encoder.finish();
    const object = { name: chunkName({ begin, index, isLast }), number: metadata.drawNumber(), content };
    previous = await storeSystemObject(parts, object, profile, (place) => metadata.putSystemObject(place), signal);
    bytes += content.length;
    if (isLast) return { begin, last: previous, chunks: index + 1, bytes };
  }
}
