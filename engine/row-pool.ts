import type { ByteBudget, Lease } from '../core/byte-budget.ts';
import { copyBytes } from '../core/copy-bytes.ts';
import type { RowJob } from './row-work/code-row.ts';

/** How a row is cut: k data and m parity blocks. */
export interface RowCut {
  readonly k: number;
  readonly m: number;
  readonly blockBytes: number;
}

/** What lay idle for so long is given up. */
const idleMs = 1_000;

/**
 * Buffers for rows on their way to providers, under a budget, and used again, so that uploads neither hold more than
 * the budget nor leave work for the garbage collector. Idle buffers and those in use together stay within the budget;
 * what was not needed for a second is given up, so that reads can have the memory after a burst of uploads.
 */
export class RowPool {
  readonly #budget: ByteBudget;
  /** Idle buffers by size; the size that was touched longest ago comes first. */
  readonly #idle = new Map<number, Buffer[]>();
  #idleBytes = 0;
  /** The least that was idle at any moment since the last sweep: so much nobody needed. */
  #spareBytes = 0;
  #sweep: NodeJS.Timeout | undefined;
  readonly #isShared: boolean;

  /** @param setting.isShared whether threads are to work on rows; copying to and from shared memory is slower for V8 */
  constructor(budget: ByteBudget, { isShared = false }: { isShared?: boolean } = {}) {
    this.#budget = budget;
    this.#isShared = isShared;
  }

  get idleBytes(): number {
    return this.#idleBytes;
  }

  /**
   * A row to be filled, of unknown content. Waits for its turn where memory is short.
   *
   * @throws Failure `overloaded`; the signal's reason
   */
  async lease(cut: RowCut, signal: AbortSignal): Promise<Row> {
    const bytes = rowBufferBytes(cut);
    const lease = await this.#budget.acquire(bytes, signal);
    return new Row({ cut, lease, buffer: this.#take(bytes), recycle: (buffer) => this.#put(buffer) });
  }

  #take(bytes: number): Buffer {
    const buffer = this.#idle.get(bytes)?.pop();
    if (buffer !== undefined) {
      this.#idleBytes -= bytes;
      this.#spareBytes = Math.min(this.#spareBytes, this.#idleBytes);
      return buffer;
    }
    this.#shrinkIdle(this.#budget.capacityBytes - this.#budget.takenBytes);
    return this.#isShared ? Buffer.from(new SharedArrayBuffer(bytes)) : Buffer.allocUnsafeSlow(bytes);
  }

  #put(buffer: Buffer): void {
    const buffers = this.#idle.get(buffer.length) ?? [];
    this.#idle.delete(buffer.length);
    this.#idle.set(buffer.length, buffers);
    buffers.push(buffer);
    this.#idleBytes += buffer.length;
    this.#sweep ??= setTimeout(() => this.#giveUpSpare(), idleMs).unref();
  }

  #giveUpSpare(): void {
    this.#sweep = undefined;
    this.#shrinkIdle(this.#idleBytes - this.#spareBytes);
    this.#spareBytes = this.#idleBytes;
    if (this.#idleBytes > 0) this.#sweep = setTimeout(() => this.#giveUpSpare(), idleMs).unref();
  }

  #shrinkIdle(maxBytes: number): void {
    for (const [bytes, buffers] of this.#idle) {
      while (this.#idleBytes > maxBytes && buffers.pop() !== undefined) this.#idleBytes -= bytes;
      if (buffers.length > 0) break;
      this.#idle.delete(bytes);
    }
    this.#spareBytes = Math.min(this.#spareBytes, this.#idleBytes);
  }
}

/** One row in memory: data is copied in at the front, then laid out as blocks. */
export class Row {
  readonly #cut: RowCut;
  readonly #lease: Lease;
  readonly #buffer: Buffer;
  readonly #recycle: (buffer: Buffer) => void;
  #filledBytes = 0;

  constructor(parts: { cut: RowCut; lease: Lease; buffer: Buffer; recycle: (buffer: Buffer) => void }) {
    this.#cut = parts.cut;
    this.#lease = parts.lease;
    this.#buffer = parts.buffer;
    this.#recycle = parts.recycle;
  }

  get filledBytes(): number {
    return this.#filledBytes;
  }

  get isFull(): boolean {
    return this.#filledBytes === this.#cut.k * this.#cut.blockBytes;
  }

  /** Copies as much of `bytes` as there is room for, and returns how much that was. */
  fill(bytes: Uint8Array): number {
    const room = this.#cut.k * this.#cut.blockBytes - this.#filledBytes;
    const taken = Math.min(room, bytes.length);
    copyBytes(this.#buffer, taken === bytes.length ? bytes : bytes.subarray(0, taken), this.#filledBytes);
    this.#filledBytes += taken;
    return taken;
  }

  /** Leaves as much of `bytes` free as there is room for, and returns how much that was. What lies there is not known. */
  skip(bytes: number): number {
    const taken = Math.min(this.#cut.k * this.#cut.blockBytes - this.#filledBytes, bytes);
    this.#filledBytes += taken;
    return taken;
  }

  /** The bytes that were filled, or left free, from `start` on. */
  filled(start: number, end: number): Uint8Array {
    return this.#buffer.subarray(start, Math.min(end, this.#filledBytes));
  }

  /** Fills up with zeros to the end of the block that was begun. */
  padBlock(): void {
    const end = Math.ceil(this.#filledBytes / this.#cut.blockBytes) * this.#cut.blockBytes;
    this.#buffer.fill(0, this.#filledBytes, end);
    this.#filledBytes = end;
  }

  /**
   * The k data and m parity blocks as views that lie one after the other, all as long as the longest stored block. What
   * was not filled is zeros; parity is not computed yet.
   */
  layOut(): { data: Uint8Array[]; parity: Uint8Array[] } {
    const { k, m } = this.#cut;
    const strideBytes = this.#strideBytes;
    const view = (index: number): Uint8Array => this.#buffer.subarray(index * strideBytes, (index + 1) * strideBytes);
    this.#buffer.fill(0, this.#filledBytes, k * strideBytes);
    return {
      data: Array.from({ length: k }, (_, index) => view(index)),
      parity: Array.from({ length: m }, (_, index) => view(k + index)),
    };
  }

  /** The row as `codeRow` takes it; laid out before. */
  describe(): Omit<RowJob, 'piece'> {
    const { k, m, blockBytes } = this.#cut;
    const storedBytes = Array.from({ length: k + m }, (_, index) => {
      const before = index < k ? index * blockBytes : 0;
      return Math.max(0, Math.min(this.#filledBytes - before, blockBytes));
    });
    return { memory: this.#buffer.buffer, k, m, strideBytes: this.#strideBytes, storedBytes };
  }

  get #strideBytes(): number {
    return Math.min(this.#cut.blockBytes, this.#filledBytes);
  }

  /**
   * Gives the memory back: nobody may read the blocks any more. May be called twice.
   *
   * @param isIdle false where somebody may still read the buffer, such as a provider that was given up; then it is not used again
   */
  release(isIdle = true): void {
    if (this.#lease.bytes === 0) return;
    if (isIdle) this.#recycle(this.#buffer);
    this.#lease.release();
  }
}

/** Length of the buffer of such a row, and what it takes from the budget: one of four sizes to each doubling, so that buffers fit again. */
export function rowBufferBytes({ k, m, blockBytes }: RowCut): number {
  const bytes = (k + m) * blockBytes;
  const unit = 2 ** Math.max(12, Math.ceil(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / unit) * unit;
}
