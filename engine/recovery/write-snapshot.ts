import { setTimeout as delay } from 'node:timers/promises';
import type { Profile } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { renderRecords } from './record-stream.ts';
import { chunkName, encodeChunk } from './snapshot-chunk.ts';
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

/** Text that goes into a chunk; deflated it is an eighth or so. */
const chunkChars = 4 * 2 ** 20;
const pageRecords = 500;

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
  let lines: string[] = [];
  let chars = 0;
  let previous: SystemLocation | undefined;
  let index = 0;
  let bytes = 0;
  for (;;) {
    signal.throwIfAborted();
    const startedAtMs = performance.now();
    const page = await metadata.readRecords(cursor, pageRecords);
    const text = await renderRecords(page.records);
    lines.push(text);
    chars += text.length;
    cursor = page.cursor;
    const isLast = cursor === undefined;
    if (isLast || chars >= chunkChars) {
      const content = await encodeChunk({ begin, index, isLast, ...(previous && { previous }) }, lines);
      const name = chunkName({ begin, index, isLast });
      const object = { name, number: metadata.drawNumber(), content };
      previous = await storeSystemObject(parts, object, profile, (place) => metadata.putSystemObject(place), signal);
      bytes += content.length;
      index += 1;
      lines = [];
      chars = 0;
      if (isLast) return { begin, last: previous, chunks: index, bytes };
    }
    if (isThrottled) await delay(performance.now() - startedAtMs, undefined, { signal, ref: false });
  }
}
