import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { constants, deflate, inflate } from 'node:zlib';
import type { MetadataRecord } from '../../metadata/metadata-store.ts';

/**
 * The content of a system object: a header and metadata records, one line of JSON each, deflated (RFC 1950). The header
 * comes first; a record is `[kind, key, value]`.
 */

const deflateAsync = promisify(deflate);
const inflateAsync = promisify(inflate);
/** Records that are turned into text, or back, in one turn of the event loop. */
const recordsPerTurn = 200;
/** Level 3 gives most of what level 6 does, for half of the time. */
const deflateOptions = { level: 3, strategy: constants.Z_DEFAULT_STRATEGY };
const maxInflatedBytes = 2 ** 31 - 1;

type PackedRecord = [kind: MetadataRecord['kind'], key: string, value: unknown];

/** Lines of records as they go into a system object. The event loop gets its turns between them. */
export async function renderRecords(records: readonly MetadataRecord[]): Promise<string> {
  const pieces: string[] = [];
  for (let start = 0; start < records.length; start += recordsPerTurn) {
    if (start > 0) await nextTurn();
    for (const { kind, key, value } of records.slice(start, start + recordsPerTurn)) {
      pieces.push(JSON.stringify([kind, key, value] satisfies PackedRecord), '\n');
    }
  }
  return pieces.join('');
}

/** @param lines from `renderRecords`, in any number of pieces. The buffer belongs to the caller. */
export async function encodeRecordStream(header: unknown, lines: readonly string[]): Promise<Uint8Array> {
  const text = [JSON.stringify(header), '\n', ...lines].join('');
  return deflateAsync(Buffer.from(text), deflateOptions);
}

/** A content that was taken apart. */
export interface RecordStream {
  readonly header: unknown;
  /** Pages of records in order, parsed as they are asked for. */
  pages(): Generator<MetadataRecord[], void, void>;
}

/** @throws Error for what `encodeRecordStream` did not make */
export async function decodeRecordStream(content: Uint8Array): Promise<RecordStream> {
  const text = (await inflateAsync(content, { maxOutputLength: maxInflatedBytes })) as Buffer;
  const headerEnd = text.indexOf(10);
  if (headerEnd === -1) throw new Error('a system object has no header');
  const header: unknown = JSON.parse(text.toString('utf8', 0, headerEnd));
  return { header, pages: () => parsePages(text, headerEnd + 1) };
}

function* parsePages(text: Buffer, start: number): Generator<MetadataRecord[], void, void> {
  let page: MetadataRecord[] = [];
  for (let at = start; at < text.length; ) {
    const end = text.indexOf(10, at);
    if (end === -1) throw new Error('a system object ends within a record');
    const [kind, key, value] = JSON.parse(text.toString('utf8', at, end)) as PackedRecord;
    page.push({ kind, key, value });
    at = end + 1;
    if (page.length === recordsPerTurn) {
      yield page;
      page = [];
    }
  }
  if (page.length > 0) yield page;
}
