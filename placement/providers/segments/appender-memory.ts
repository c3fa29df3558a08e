import { keptBatchBytes, type SegmentBatch } from './segment-appender.ts';

/**
 * What a process and its appending threads share. Words of 32 bits, in the order of the machine:
 *
 *     0     work: grows when there is something to do; threads wait for it
 *     1     done: grows when something was done; the process waits for it
 *     2     stop: 1 when the threads are to end
 *     16    the slots, `slotWords` each
 *
 * and each slot, which belongs to one provider:
 *
 *     0     state
 *     1     file descriptor
 *     2     bytes of the batch; after a failure those of the text that tells of it
 *     3     offset in the file
 *     4     1 where the batch must be durable
 *     5     bytes of the marker's path
 *     6     1 where records must be completed
 *     7     the segment's salt
 *     16    the marker's path, `maxPathBytes`
 *     ...   the batch, `keptBatchBytes`
 */
const headWords = 16;
const workWord = 0;
const doneWord = 1;
const stopWord = 2;
const stateWord = 0;
const fdWord = 1;
const bytesWord = 2;
const offsetWord = 3;
const flushWord = 4;
const pathBytesWord = 5;
const completeWord = 6;
const saltWord = 7;
const wordBytes = Int32Array.BYTES_PER_ELEMENT;
export const maxPathBytes = 1024;
const slotHeadBytes = headWords * wordBytes;
const slotBytes = slotHeadBytes + maxPathBytes + keptBatchBytes;

const states = { idle: 0, asked: 1, claimed: 2, done: 3, failed: 4 } as const;

/** What an error of the system said, on its way from a thread. */
export interface AppendFault {
  readonly message: string;
  readonly code?: string | undefined;
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
}

export class AppenderMemory {
  readonly buffer: SharedArrayBuffer;
  readonly slots: readonly AppenderSlot[];
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** @param buffer from `AppenderMemory.allocate` */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer, 0, headWords);
    const count = (buffer.byteLength - headWords * wordBytes) / slotBytes;
    this.slots = Array.from({ length: count }, (_, index) => {
      return new AppenderSlot(buffer, headWords * wordBytes + index * slotBytes);
    });
  }

  /** The system gives a slot memory only once it is used. */
  static allocate(slotCount: number): SharedArrayBuffer {
    return new SharedArrayBuffer(headWords * wordBytes + slotCount * slotBytes);
  }

  get isStopping(): boolean {
    return Atomics.load(this.#words, stopWord) === 1;
  }

  /** Lets some of the threads that wait look for work. */
  wake(count: number): void {
    Atomics.add(this.#words, workWord, 1);
    Atomics.notify(this.#words, workWord, count);
  }

  /** Lets all threads end that have nothing to do. */
  stop(): void {
    Atomics.store(this.#words, stopWord, 1);
    Atomics.add(this.#words, workWord, 1);
    Atomics.notify(this.#words, workWord);
  }

  /** To be drawn before one looks for work, and then given to `waitForWork`. */
  get workMark(): number {
    return Atomics.load(this.#words, workWord);
  }

  /** Holds the thread up until there is work that came after the mark. */
  waitForWork(mark: number): void {
    Atomics.wait(this.#words, workWord, mark);
  }

  tellDone(): void {
    Atomics.add(this.#words, doneWord, 1);
    Atomics.notify(this.#words, doneWord);
  }

  /** To be drawn before one looks what was done, and then given to `waitForDone`. */
  get doneMark(): number {
    return Atomics.load(this.#words, doneWord);
  }

  /** Resolves when something was done after the mark; undefined where that is so already. */
  waitForDone(mark: number): Promise<unknown> | undefined {
    const waiting = Atomics.waitAsync(this.#words, doneWord, mark);
    return waiting.async ? waiting.value : undefined;
  }
}

export class AppenderSlot {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #path: Buffer;
  readonly #batch: Buffer;

  constructor(buffer: SharedArrayBuffer, at: number) {
    this.#words = new Int32Array(buffer, at, headWords);
    this.#path = Buffer.from(buffer, at + slotHeadBytes, maxPathBytes);
    this.#batch = Buffer.from(buffer, at + slotHeadBytes + maxPathBytes, keptBatchBytes);
  }

  /** Gives the slot to a provider. @param markerPath of at most `maxPathBytes` bytes */
  assign(markerPath: string): void {
    this.#words[pathBytesWord] = this.#path.write(markerPath);
  }

  take(bytes: number): Buffer {
    return this.#batch.subarray(0, bytes);
  }

  holds(bytes: Buffer): boolean {
    return bytes.buffer === this.#batch.buffer && bytes.byteOffset === this.#batch.byteOffset;
  }

  /** From here on the slot belongs to the threads, until `readOutcome` tells of the end. */
  ask({ fd, bytes, offset, mustFlush, salt }: SegmentBatch): void {
    this.#words[fdWord] = fd;
    this.#words[bytesWord] = bytes.length;
    this.#words[offsetWord] = offset;
    this.#words[flushWord] = Number(mustFlush);
    this.#words[completeWord] = Number(salt !== undefined);
    this.#words[saltWord] = salt ?? 0;
    Atomics.store(this.#words, stateWord, states.asked);
  }

  /** What became of the batch; undefined where that is open. Once it is told, the slot is the process's again. */
  readOutcome(): 'done' | AppendFault | undefined {
    const state = Atomics.load(this.#words, stateWord);
    if (state !== states.done && state !== states.failed) return undefined;
    Atomics.store(this.#words, stateWord, states.idle);
    if (state === states.done) return 'done';
    return JSON.parse(this.#batch.toString('utf8', 0, this.#words[bytesWord])) as AppendFault;
  }

  get isAsked(): boolean {
    return Atomics.load(this.#words, stateWord) === states.asked;
  }

  /** Takes the batch over, for a thread; undefined where there is none, or another thread was quicker. */
  claim(): { readonly batch: SegmentBatch; readonly markerPath: string } | undefined {
    const found = Atomics.compareExchange(this.#words, stateWord, states.asked, states.claimed);
    if (found !== states.asked) return undefined;
    const words = this.#words;
    return {
      batch: {
        fd: words[fdWord]!,
        bytes: this.take(words[bytesWord]!),
        offset: words[offsetWord]!,
        mustFlush: words[flushWord] === 1,
        // As it was before it went through a word with a sign.
        salt: words[completeWord] === 1 ? words[saltWord]! >>> 0 : undefined,
      },
      markerPath: this.#path.toString('utf8', 0, words[pathBytesWord]),
    };
  }

  succeed(): void {
    Atomics.store(this.#words, stateWord, states.done);
  }

  /** The text takes the place of the batch. */
  fail(fault: AppendFault): void {
    this.#words[bytesWord] = this.#batch.write(JSON.stringify(fault));
    Atomics.store(this.#words, stateWord, states.failed);
  }
}
