import { once } from 'node:events';
import { promisify } from 'node:util';
import { createDeflate, type Deflate, inflate } from 'node:zlib';
import type { MetadataRecord } from '../../metadata/record-store.ts';

/**
 * The content of a system object: a header and metadata records, one line of JSON each, deflated (RFC 1950). The header
 * comes first; a record is `[kind, key, value]`.
 */

const inflateAsync = promisify(inflate);
/** Records that are turned into text, or back, in one turn of the event loop. */
const recordsPerTurn = 200;
/** Level 3 gives most of what level 6 does, for half of the time. */
const level = 3;
const maxInflatedBytes = 2 ** 31 - 1;

type PackedRecord = [kind: MetadataRecord['kind'], key: string, value: unknown];

/** Deflates records as they come, so that their text is never in memory whole, and off the event loop. */
export class RecordStreamEncoder {
  readonly #deflate: Deflate;
  readonly #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(header: unknown) {
    this.#deflate = createDeflate({ level });
    this.#deflate.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
    });
    this.#deflate.write(`${JSON.stringify(header)}\n`);
  }

  /** Deflated bytes so far; some are still under way. */
  get bytes(): number {
    return this.#bytes;
  }

  async add(records: readonly MetadataRecord[]): Promise<void> {
    for (let start = 0; start < records.length; start += recordsPerTurn) {
      const lines = records
        .slice(start, start + recordsPerTurn)
        .map(({ kind, key, value }) => `${JSON.stringify([kind, key, value] satisfies PackedRecord)}\n`);
      await new Promise<void>((resolve, reject) => {
        this.#deflate.write(lines.join(''), (error) => (error ? reject(error) : resolve()));
      });
    }
  }

  /** The whole content. The buffer belongs to the caller. */
  async finish(): Promise<Uint8Array> {
    const ended = once(this.#deflate, 'end');
    this.#deflate.end();
    await ended;
    return Buffer.concat(this.#pieces);
  }
}

/** A content that was taken apart. */
export interface RecordStream {
  readonly header: unknown;
  /** Pages of records in order, parsed as they are asked for. */
  pages(): Generator<MetadataRecord[], void, void>;
}

/** @throws Error for what `RecordStreamEncoder` did not make */
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
