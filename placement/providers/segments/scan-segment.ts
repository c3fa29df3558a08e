import { crc32 } from '@node-rs/crc32';
import { readUpTo } from '../durable-files.ts';
import {
  parseRecordHeader,
  recordBytes,
  recordHeaderBytes,
  recordMagic,
  type SegmentRecord,
} from './segment-format.ts';

const windowBytes = 2 ** 20;

/** A record that was found whole. */
export interface ScannedRecord {
  readonly record: SegmentRecord;
  /** Where its header starts, and where the next record may start. */
  readonly offset: number;
  readonly end: number;
  /** The shard's bytes; valid until the next record is asked for. */
  readonly bytes: Buffer;
}

/**
 * Yields the whole records of a segment from `from` up to `end`, in order. What is torn, damaged or zero is passed over: a
 * record after it is found by its magic, and proven by a CRC that only records of this very segment have.
 */
export async function* scanSegment(parts: {
  fd: number;
  salt: number;
  from: number;
  end: number;
}): AsyncGenerator<ScannedRecord> {
  const { salt, end } = parts;
  const window = new Window(parts.fd, end);
  let offset = parts.from;
  while (offset + recordHeaderBytes <= end) {
    const record = parseRecordHeader(await window.view(offset, recordHeaderBytes), salt);
    const next = offset + recordBytes(record?.kind === 'shard' ? record.length : 0);
    if (record === undefined || next > end) {
      offset = await findMagic(window, offset + 1, end);
      continue;
    }
    const bytes = await window.view(offset + recordHeaderBytes, next - offset - recordHeaderBytes);
    if (record.kind === 'tombstone' || crc32(bytes) === record.bytesCrc) yield { record, offset, end: next, bytes };
    offset = next;
  }
}

async function findMagic(window: Window, from: number, end: number): Promise<number> {
  for (let offset = from; offset + recordHeaderBytes <= end; ) {
    const view = await window.view(offset, Math.min(windowBytes / 4, end - offset));
    const found = view.indexOf(recordMagic);
    if (found !== -1) return offset + found;
    offset += view.length - recordMagic.length + 1;
  }
  return end;
}

/** A piece of a file in memory, which moves forward. */
class Window {
  readonly #fd: number;
  readonly #end: number;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(fd: number, end: number) {
    this.#fd = fd;
    this.#end = end;
  }

  /** Exactly these bytes, zeros where the file is shorter than it was said to be; valid until the next call. */
  async view(offset: number, length: number): Promise<Buffer> {
    const from = offset - this.#start;
    if (from >= 0 && from + length <= this.#bytes.length) return this.#bytes.subarray(from, from + length);
    const size = Math.max(length, Math.min(windowBytes, this.#end - offset));
    this.#bytes = await readUpTo(this.#fd, offset, size);
    this.#start = offset;
    return this.#bytes.subarray(0, length);
  }
}
