import { randomBytes } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { markDurableStep } from '../../../core/durable-steps.ts';
import { closeFile, openFile, syncFile, syncFolder, truncateFile, writeFullyAt } from '../durable-files.ts';
import { encodeSegmentHeader, segmentFileName, segmentHeaderBytes } from './segment-format.ts';

/** How much is zeroed ahead at once: an eighth of what is written, within these bounds. */
const minAheadBytes = 256 * 1024;
const maxAheadBytes = 2 ** 20;
/** For batches up to this length. */
const worthZerosBytes = 128 * 1024;
const zeros = Buffer.alloc(maxAheadBytes);

/**
 * A segment that is being written. The file is kept zeroed a little way ahead: a flush of bytes in a place that the file
 * has already is a third cheaper than one that makes it longer.
 */
export class SegmentFile {
  readonly number: number;
  readonly salt: number;
  readonly fd: number;
  /** Where the next record goes. */
  end = segmentHeaderBytes;
  readonly #path: string;
  /** The file is that long. */
  #zeroedTo: number;
  #zeroing: Promise<void> | undefined;

  private constructor(parts: { number: number; salt: number; fd: number; path: string; zeroedTo: number }) {
    this.number = parts.number;
    this.salt = parts.salt;
    this.fd = parts.fd;
    this.#path = parts.path;
    this.#zeroedTo = parts.zeroedTo;
  }

  /** Makes a segment, durably: header, zeros and name. */
  static async create(folder: string, number: number): Promise<SegmentFile> {
    const path = join(folder, segmentFileName(number));
    const fd = await openFile(path, 'wx', 0o600);
    try {
      const salt = randomBytes(4).readUInt32BE();
      const start = Buffer.alloc(minAheadBytes);
      encodeSegmentHeader({ number, salt }).copy(start);
      await writeFullyAt(fd, start, 0);
      await syncFile(fd);
      markDurableStep('segment-created');
      await syncFolder(folder);
      return new SegmentFile({ number, salt, fd, path, zeroedTo: start.length });
    } catch (error) {
      closeFile(fd);
      await unlink(path).catch(() => {});
      throw error;
    }
  }

  /** Resolves when `bytes` at the end would not meet zeros that are being written. */
  async waitForZeros(bytes: number): Promise<void> {
    if (this.end + bytes > this.#zeroedTo) await this.#zeroing;
  }

  /** Takes note that there are `bytes` more, and zeroes more of the file in the background where little is left. */
  grow(bytes: number, maxBytes: number): void {
    this.end += bytes;
    this.#zeroedTo = Math.max(this.#zeroedTo, this.end);
    // With long ones a flush takes as long as the bytes do, and it is not worth writing them twice.
    if (bytes > worthZerosBytes) return;
    const ahead = Math.min(maxAheadBytes, Math.max(minAheadBytes, this.end >> 3));
    if (this.#zeroedTo - this.end >= ahead / 2 || this.#zeroedTo >= maxBytes) return;
    this.#zeroing ??= this.#zero(ahead).finally(() => {
      this.#zeroing = undefined;
    });
  }

  async #zero(bytes: number): Promise<void> {
    try {
      await writeFullyAt(this.fd, zeros.subarray(0, bytes), this.#zeroedTo);
      await syncFile(this.fd);
      this.#zeroedTo += bytes;
    } catch {
      // A disk that is full or broken: the next append finds out, and says so.
    }
  }

  /** Cuts off what was zeroed in vain or written in part, and closes the file. A file without a record is removed. */
  async seal(): Promise<void> {
    await this.#zeroing;
    try {
      if (this.end === segmentHeaderBytes) {
        await unlink(this.#path);
      } else {
        await truncateFile(this.fd, this.end);
        await syncFile(this.fd);
      }
    } finally {
      closeFile(this.fd);
    }
  }
}
