import { markDurableStep } from '../../../core/durable-steps.ts';
import { releaseWhole } from '../../../core/release-memory.ts';
import { syncFile, writeFullyAt } from '../durable-files.ts';
import { completeRecords } from './segment-format.ts';

/** A buffer for batches up to this size is kept; one that is longer is a single record. */
export const keptBatchBytes = 2 ** 20;

/** Bytes for a segment that is open. */
export interface SegmentBatch {
  readonly fd: number;
  /** From `take`. */
  readonly bytes: Buffer;
  /** Where in the file they go. */
  readonly offset: number;
  /** Whether they must be durable. */
  readonly mustFlush: boolean;
  /** The segment's, where the bytes are records that are to be completed first (`completeRecords`). */
  readonly salt?: number | undefined;
}

/** Appends to the segments of one provider, a batch at a time. */
export interface SegmentAppender {
  /** Memory for the next batch, which is to be filled and handed to `append`. It is the same again for the batch after that. */
  take(bytes: number): Buffer;
  /**
   * Writes the batch, flushes it where that is asked for, and finds the provider's marker where it belongs. When it settles
   * nothing is under way any more.
   *
   * @throws what write(2), fdatasync(2) and access(2) do. Nobody knows then what the file's end looks like.
   */
  append(batch: SegmentBatch): Promise<void>;
  /** No batch is under way, and none comes. */
  close(): void;
}

/** Makes appenders. */
export interface SegmentAppenders {
  /** @param markerPath the file that says whose directory it is; its folder is another one when the disk has fallen out */
  appenderFor(markerPath: string): SegmentAppender;
}

/** Appends by way of libuv's threads: three hand-overs a batch, for which nothing has to be started. */
export class DirectAppender implements SegmentAppender {
  readonly #checkPresence: () => Promise<void>;
  #kept = Buffer.alloc(0);

  /** @param parts.checkPresence throws when the provider's marker is not where it belongs */
  constructor(parts: { checkPresence: () => Promise<void> }) {
    this.#checkPresence = parts.checkPresence;
  }

  take(bytes: number): Buffer {
    if (bytes > keptBatchBytes) return Buffer.allocUnsafeSlow(bytes);
    if (this.#kept.length === 0) this.#kept = Buffer.allocUnsafeSlow(keptBatchBytes);
    return this.#kept.subarray(0, bytes);
  }

  async append(batch: SegmentBatch): Promise<void> {
    // The check costs no time, since the flush takes longer.
    const steps = [this.#checkPresence(), writeAndFlush(batch)];
    await Promise.allSettled(steps);
    if (batch.bytes.length > keptBatchBytes) releaseWhole(batch.bytes);
    await Promise.all(steps);
  }

  close(): void {}
}

async function writeAndFlush({ fd, bytes, offset, mustFlush, salt }: SegmentBatch): Promise<void> {
  if (salt !== undefined) completeRecords(bytes, salt);
  await writeFullyAt(fd, bytes, offset);
  if (!mustFlush) return;
  markDurableStep('segment-appended');
  await syncFile(fd);
  markDurableStep('segment-flushed');
}
