import { accessSync, fdatasyncSync, writeSync } from 'node:fs';
import { markDurableStep } from '../../../core/durable-steps.ts';
import type { SegmentBatch } from './segment-appender.ts';
import { completeRecords } from './segment-format.ts';

/**
 * Does what `SegmentAppender.append` promises, and returns when it is done: for a thread that has nothing else to do.
 *
 * @throws as `SegmentAppender.append`
 */
export function appendBatch({ fd, bytes, offset, mustFlush, salt }: SegmentBatch, markerPath: string): void {
  if (salt !== undefined) completeRecords(bytes, salt);
  for (let written = 0; written < bytes.length; ) {
    const count = writeSync(fd, bytes, written, bytes.length - written, offset + written);
    if (count === 0) throw new Error('nothing was written');
    written += count;
  }
  if (mustFlush) {
    markDurableStep('segment-appended');
    fdatasyncSync(fd);
    markDurableStep('segment-flushed');
  }
  // Last, so that a disk that fell out in the midst of it is noticed too.
  accessSync(markerPath);
}
