import { copyBytes } from '../../../core/copy-bytes.ts';
import type { IndexPosition } from './index-database.ts';
import { keptBatchBytes, type SegmentAppender } from './segment-appender.ts';
import { SegmentFile } from './segment-file.ts';
import { beginRecordHeader, type RecordPlace, recordBytes, recordHeaderBytes } from './segment-format.ts';

/** Where a record was written. */
export interface WrittenPlace extends RecordPlace {
  readonly salt: number;
  /** Where the next record starts. */
  readonly end: number;
}

/** Up to where the index is right once it knows the record at that place. */
export function positionAfter({ segment, salt, end }: WrittenPlace): IndexPosition {
  return { segment, offset: end, salt };
}

interface RecordBase {
  readonly digest: Buffer;
  readonly committedAtMs: number;
  /** Called once it is written, and flushed where that was asked for; in the order in which records stand in segments. */
  onWritten(place: WrittenPlace): void;
}

export type NewRecord = RecordBase &
  (
    | {
        readonly kind: 'shard';
        readonly buffers: readonly Uint8Array[];
        /** Bytes of the shard. */
        readonly length: number;
        /** Of a record that is copied: what its header says, whether or not it is right. */
        readonly bytesCrc?: number;
        readonly signal: AbortSignal | undefined;
      }
    | { readonly kind: 'tombstone'; readonly target: RecordPlace }
  );

interface QueuedRecord {
  readonly record: NewRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Appends records to the current segment. What comes while one write and flush is under way is gathered and goes with the
 * next, in one write and one flush: no timer, and one caller alone waits for nobody.
 *
 * After a write or flush that failed nobody knows what the file's end looks like: it is cut there, and a new segment begun.
 */
export class SegmentWriter {
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #appender: SegmentAppender;
  readonly #prepareFolder: () => Promise<void>;
  readonly #onSegment: (number: number) => void;
  #nextNumber: number;
  #current: SegmentFile | undefined;
  /** The segment after the current one, made in good time. */
  #prepared: Promise<SegmentFile> | undefined;
  #queue: QueuedRecord[] = [];
  #running: Promise<void> | undefined;
  #mustRoll = false;
  readonly #sealing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(parts: {
    folder: string;
    nextNumber: number;
    segmentBytes: number;
    /** Closed with the writer. */
    appender: SegmentAppender;
    /**
     * Throws when the directory is not the provider's any more, and makes the folder where only that is gone; called before a
     * segment is made.
     */
    prepareFolder: () => Promise<void>;
    /** Called with each segment that gets its first record. */
    onSegment: (number: number) => void;
  }) {
    this.#folder = parts.folder;
    this.#nextNumber = parts.nextNumber;
    this.#segmentBytes = parts.segmentBytes;
    this.#appender = parts.appender;
    this.#prepareFolder = parts.prepareFolder;
    this.#onSegment = parts.onSegment;
  }

  /** The segment that is being written, if there is one. */
  get currentNumber(): number | undefined {
    return this.#current?.number;
  }

  /**
   * Appends a record; a shard is flushed, a tombstone is not. The buffers must stay as they are until it settles or the
   * signal is aborted.
   */
  append(record: NewRecord): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('the provider was closed'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ record, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Lets the next record begin a new segment. */
  roll(): void {
    this.#mustRoll = true;
  }

  /** Waits for what is under way, and cuts the current segment at its end. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
    const prepared = await this.#prepared?.catch(() => undefined);
    this.#seal(prepared);
    this.#seal(this.#current);
    this.#current = undefined;
    this.#appender.close();
    await Promise.all(this.#sealing);
  }

  async #run(): Promise<void> {
    // Who calls in this turn of the event loop goes along.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      const batch = this.#take();
      try {
        await this.#write(batch);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = undefined;
  }

  /** The next records to write, without those whose caller has given up. */
  #take(): QueuedRecord[] {
    const batch: QueuedRecord[] = [];
    let bytes = 0;
    let count = 0;
    for (const queued of this.#queue) {
      const { record } = queued;
      const size = recordSize(record);
      if (count > 0 && bytes + size > keptBatchBytes) break;
      count++;
      if (record.kind === 'shard' && record.signal?.aborted) {
        queued.reject(record.signal.reason);
        continue;
      }
      bytes += size;
      batch.push(queued);
    }
    this.#queue = count === this.#queue.length ? [] : this.#queue.slice(count);
    return batch;
  }

  async #write(batch: readonly QueuedRecord[]): Promise<void> {
    if (batch.length === 0) return;
    const bytes = batch.reduce((sum, { record }) => sum + recordSize(record), 0);
    const file = await this.#fileFor(bytes);
    await file.waitForZeros(bytes);
    const buffer = this.#encode(batch, bytes);
    const mustFlush = batch.some(({ record }) => record.kind === 'shard');
    try {
      await this.#appender.append({ fd: file.fd, bytes: buffer, offset: file.end, mustFlush, salt: file.salt });
    } catch (error) {
      this.#current = undefined;
      this.#seal(file);
      throw error;
    }
    let offset = file.end;
    file.grow(bytes, this.#segmentBytes);
    this.#prepareNext(file);
    for (const { record, resolve, reject } of batch) {
      const end = offset + recordSize(record);
      try {
        record.onWritten({ segment: file.number, salt: file.salt, offset, end });
        resolve();
      } catch (error) {
        reject(error);
      }
      offset = end;
    }
  }

  /** The records' bytes, copied: whoever gave up meanwhile may use the buffers for something else. */
  #encode(batch: readonly QueuedRecord[], bytes: number): Buffer {
    const target = this.#appender.take(bytes);
    let offset = 0;
    for (const { record } of batch) {
      const { digest, committedAtMs } = record;
      if (record.kind === 'tombstone') {
        beginRecordHeader(target, offset, { kind: 'tombstone', digest, committedAtMs, target: record.target });
        offset += recordHeaderBytes;
        continue;
      }
      const { length, bytesCrc } = record;
      beginRecordHeader(target, offset, { kind: 'shard', digest, length, committedAtMs, bytesCrc });
      offset += recordHeaderBytes;
      for (const each of record.buffers) {
        copyBytes(target, each, offset);
        offset += each.length;
      }
    }
    return target;
  }

  async #fileFor(bytes: number): Promise<SegmentFile> {
    const current = this.#current;
    const isFull = current !== undefined && current.end + bytes > this.#segmentBytes;
    if (current !== undefined && !this.#mustRoll && !isFull) return current;
    this.#current = undefined;
    this.#seal(current);
    const prepared = this.#prepared;
    this.#prepared = undefined;
    const file = (await prepared?.catch(() => undefined)) ?? (await this.#create());
    this.#onSegment(file.number);
    this.#mustRoll = false;
    this.#current = file;
    return file;
  }

  async #create(): Promise<SegmentFile> {
    const number = this.#nextNumber++;
    await this.#prepareFolder();
    return SegmentFile.create(this.#folder, number);
  }

  #prepareNext(file: SegmentFile): void {
    if (this.#prepared !== undefined || file.end < this.#segmentBytes * 0.75) return;
    this.#prepared = this.#create();
    this.#prepared.catch(() => {});
  }

  #seal(file: SegmentFile | undefined): void {
    if (file === undefined) return;
    // What could not be cut off is cut when the provider is opened again.
    const sealing = file.seal().catch(() => {});
    this.#sealing.add(sealing);
    sealing.finally(() => this.#sealing.delete(sealing));
  }
}

function recordSize(record: NewRecord): number {
  return recordBytes(record.kind === 'shard' ? record.length : 0);
}
