import { Worker } from 'node:worker_threads';
import type { RowJob } from './code-row.ts';

/** What a thread says: that it is there, and then of one job after the other how it went. */
export interface RowAnswer {
  readonly isReady?: boolean;
  readonly digests?: Uint8Array[];
  readonly error?: unknown;
}

interface Waiting {
  readonly resolve: (digests: Uint8Array[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Jobs that a thread has at once. With a second one it need not wait for the event loop in between; with more, the event loop is left
 * alone as long as the rest of an upload takes it no less time than a row takes the thread.
 */
const jobsEach = 6;
/** A process that codes little does so itself: its start is not to wait for threads, nor its memory to hold them. */
const defaultStartAfter = 8;
/** After so many threads that died no more are started. */
const maxDeaths = 16;

/**
 * Threads that seal, code and digest rows, so that the event loop is left with the sockets and the ETags, and other cores with the rest
 * (docs/decisions/0026). Rows lie in shared memory, so that only a message goes to and fro.
 *
 * A thread that dies fails the rows that it had; another one takes its place.
 */
export class RowThreads {
  readonly #count: number;
  readonly #startAfter: number;
  readonly #startThread: () => Worker;
  readonly #threads: RowThread[] = [];
  #asked = 0;
  #deaths = 0;
  #isClosed = false;

  /** @param parts.count how many threads at most; @param parts.startAfter so many rows are not taken before threads are started */
  constructor(parts: { count: number; startAfter?: number; startThread?: () => Worker }) {
    this.#count = parts.count;
    this.#startAfter = parts.startAfter ?? defaultStartAfter;
    this.#startThread = parts.startThread ?? startThread;
  }

  /**
   * The digests of a row's blocks, as `codeRow` has them, once a thread has done the work. The memory must be shared, and nobody else's until
   * this settles.
   *
   * @returns undefined where no thread can take it now: then it is for the caller to do
   */
  tryCode(job: RowJob): Promise<Uint8Array[]> | undefined {
    if (this.#isClosed || !(job.memory instanceof SharedArrayBuffer)) return undefined;
    this.#asked += 1;
    if (this.#asked <= this.#startAfter) return undefined;
    while (this.#threads.length < this.#count && this.#deaths < maxDeaths) this.#start();
    let best: RowThread | undefined;
    for (const thread of this.#threads) {
      if (thread.isReady && thread.jobs < jobsEach && (best === undefined || thread.jobs < best.jobs)) best = thread;
    }
    return best?.run(job);
  }

  /** Ends all threads; what they have not done fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  #start(): void {
    const thread = new RowThread(this.#startThread(), () => {
      this.#threads.splice(this.#threads.indexOf(thread), 1);
      if (!this.#isClosed) this.#deaths += 1;
    });
    this.#threads.push(thread);
  }
}

function startThread(): Worker {
  return new Worker(new URL('row-worker.ts', import.meta.url), { name: 'rows' });
}

class RowThread {
  readonly #worker: Worker;
  /** In the order in which they will be answered. */
  readonly #waiting: Waiting[] = [];
  isReady = false;

  constructor(worker: Worker, onEnd: () => void) {
    this.#worker = worker;
    let cause: unknown;
    worker.on('message', (answer: RowAnswer) => this.#take(answer));
    worker.on('error', (error) => {
      cause = error;
    });
    worker.on('exit', () => {
      this.isReady = false;
      onEnd();
      for (const { reject } of this.#waiting.splice(0)) {
        reject(new Error('a thread that codes rows ended in the middle of its work', { cause }));
      }
    });
    // An idle thread does not keep the process from ending.
    worker.unref();
  }

  get jobs(): number {
    return this.#waiting.length;
  }

  run(job: RowJob): Promise<Uint8Array[]> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(job);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #take({ isReady, digests, error }: RowAnswer): void {
    if (isReady) {
      this.isReady = true;
      return;
    }
    const waiting = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#worker.unref();
    if (digests !== undefined) waiting?.resolve(digests);
    else waiting?.reject(error);
  }
}
