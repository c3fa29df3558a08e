import { once } from 'node:events';
import { access } from 'node:fs';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { AppenderMemory, type AppenderSlot, type AppendFault, maxPathBytes } from './appender-memory.ts';
import {
  DirectAppender,
  keptBatchBytes,
  type SegmentAppender,
  type SegmentAppenders,
  type SegmentBatch,
} from './segment-appender.ts';

/** As many as libuv has for files: so many flushes are under way at once, and so many disks that hang hold up the others. */
const threadCount = 4;
/** More providers than this go the direct way. */
const slotCount = 64;
/** A process that appends little does so directly: its start is not to wait for threads, nor its memory to hold them. */
const defaultStartAfter = 256;
const maxOffset = 2 ** 31 - 1;

const checkAccess = promisify(access);

interface Caller {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Threads that append to segments for all directories of a process. To write, flush and check takes three hand-overs to libuv for
 * each provider, and each wakes a thread, which costs the event loop more than all else that a small shard does; here one wake is
 * enough for all providers that are to be written in the same turn. They share memory with the process, so that nothing is copied.
 *
 * Whatever cannot go this way goes directly: before the threads are there, after one has died, and batches that are too long.
 */
export class AppenderThreads implements SegmentAppenders {
  readonly #startAfter: number;
  readonly #startThread: (memory: SharedArrayBuffer) => Worker;
  #memory: AppenderMemory | undefined;
  #workers: readonly Worker[] = [];
  #free: AppenderSlot[] = [];
  readonly #underWay = new Map<AppenderSlot, Caller>();
  #appends = 0;
  #starting: Promise<void> | undefined;
  #isRunning = false;
  #isWaking = false;
  #isWatching = false;
  #isClosed = false;

  /** @param parts.startAfter so many appends are done directly before threads are started */
  constructor(parts: { startAfter?: number; startThread?: (memory: SharedArrayBuffer) => Worker } = {}) {
    this.#startAfter = parts.startAfter ?? defaultStartAfter;
    this.#startThread = parts.startThread ?? startThread;
  }

  /** Whether appends go to threads now. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  appenderFor(markerPath: string): SegmentAppender {
    return new ThreadedAppender(this, markerPath);
  }

  /** Starts the threads where they are not; resolves when one of them is ready, or none ever will be. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Counts an append that is about to come. */
  count(): void {
    this.#appends += 1;
    if (this.#appends > this.#startAfter) void this.start();
  }

  /** A slot for a provider; undefined where there is none now. */
  lease(markerPath: string): AppenderSlot | undefined {
    if (!this.#isRunning || Buffer.byteLength(markerPath) > maxPathBytes) return undefined;
    const slot = this.#free.pop();
    slot?.assign(markerPath);
    return slot;
  }

  giveBack(slot: AppenderSlot): void {
    this.#free.push(slot);
  }

  append(slot: AppenderSlot, batch: SegmentBatch): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#underWay.size === 0) this.#workers[0]?.ref();
      this.#underWay.set(slot, { resolve, reject });
      slot.ask(batch);
      this.#wakeSoon();
      if (!this.#isWatching) void this.#watch();
    });
  }

  /** To be called when all that appends is closed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#isRunning = false;
    const ended = this.#workers.map((worker) => untilExit(worker));
    this.#memory?.stop();
    await Promise.all(ended);
  }

  async #start(): Promise<void> {
    if (this.#isClosed) return;
    const memory = new AppenderMemory(AppenderMemory.allocate(slotCount));
    this.#memory = memory;
    this.#free = [...memory.slots];
    this.#workers = Array.from({ length: threadCount }, () => this.#startThread(memory.buffer));
    const ready = this.#workers.map((worker) => once(worker, 'message'));
    for (const worker of this.#workers) {
      // Without a listener, an error of a thread would end the process.
      worker.on('error', () => void this.#giveUp());
      worker.on('exit', () => void this.#giveUp());
    }
    try {
      await Promise.any(ready);
      this.#isRunning = !this.#isClosed;
    } catch {
      // None of them came up, and everything goes on directly.
    }
    // From now on they keep the process only while there is something for them to do.
    for (const worker of this.#workers) worker.unref();
  }

  /** All that were asked for in one turn of the event loop take one wake. */
  #wakeSoon(): void {
    if (this.#isWaking) return;
    this.#isWaking = true;
    setImmediate(() => {
      this.#isWaking = false;
      this.#memory?.wake(1);
    });
  }

  async #watch(): Promise<void> {
    const memory = this.#memory!;
    this.#isWatching = true;
    while (this.#underWay.size > 0) {
      const mark = memory.doneMark;
      this.#settleDone();
      if (this.#underWay.size > 0) await memory.waitForDone(mark);
    }
    this.#isWatching = false;
  }

  #settleDone(): void {
    for (const [slot, { resolve, reject }] of this.#underWay) {
      const outcome = slot.readOutcome();
      if (outcome === undefined) continue;
      this.#underWay.delete(slot);
      if (outcome === 'done') resolve();
      else reject(toError(outcome));
    }
    if (this.#underWay.size === 0) this.#workers[0]?.unref();
  }

  /**
   * A thread has died, which only a fault of ours or a lack of memory can do. What is under way is ended only when no thread can
   * write any more: whoever asked for it closes the file then.
   */
  async #giveUp(): Promise<void> {
    if (this.#isClosed || !this.#isRunning) return;
    this.#isRunning = false;
    this.#free = [];
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    this.#settleDone();
    for (const { reject } of this.#underWay.values()) reject(new Error('a thread that appends to segments has died'));
    this.#underWay.clear();
    this.#memory?.tellDone();
  }
}

/** Takes the way over the threads for each batch that can go there. */
class ThreadedAppender implements SegmentAppender {
  readonly #threads: AppenderThreads;
  readonly #markerPath: string;
  readonly #direct: DirectAppender;
  #slot: AppenderSlot | undefined;

  constructor(threads: AppenderThreads, markerPath: string) {
    this.#threads = threads;
    this.#markerPath = markerPath;
    this.#direct = new DirectAppender({ checkPresence: () => checkAccess(markerPath) });
  }

  take(bytes: number): Buffer {
    if (!this.#threads.isRunning) this.#slot = undefined;
    if (bytes > keptBatchBytes) return this.#direct.take(bytes);
    this.#slot ??= this.#threads.lease(this.#markerPath);
    return this.#slot?.take(bytes) ?? this.#direct.take(bytes);
  }

  append(batch: SegmentBatch): Promise<void> {
    this.#threads.count();
    const slot = this.#slot;
    if (slot === undefined || !slot.holds(batch.bytes)) return this.#direct.append(batch);
    if (batch.offset > maxOffset) throw new RangeError(`no segment goes up to ${batch.offset}`);
    // The threads may have died since the buffer was taken.
    return this.#threads.isRunning ? this.#threads.append(slot, batch) : this.#direct.append(batch);
  }

  close(): void {
    if (this.#slot !== undefined && this.#threads.isRunning) this.#threads.giveBack(this.#slot);
    this.#slot = undefined;
  }
}

function startThread(memory: SharedArrayBuffer): Worker {
  return new Worker(new URL('appender-thread.ts', import.meta.url), { workerData: memory });
}

async function untilExit(worker: Worker): Promise<void> {
  if (worker.threadId === -1) return;
  worker.ref();
  await new Promise((resolve) => worker.once('exit', resolve));
}

function toError({ message, ...said }: AppendFault): Error {
  return Object.assign(new Error(message), said);
}
