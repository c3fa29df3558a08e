import { Worker } from 'node:worker_threads';
import type { SealedRun } from '../../crypto/open-packages.ts';
import type { SealerKeys } from '../../crypto/sealer.ts';
import type { CodedPack, PackJob } from './code-pack.ts';
import type { RowJob } from './code-row.ts';
import type { PlainRun } from './open-run.ts';

/** What a thread is asked to do: to code a row, to seal and code a pack, or to open sealed bytes. */
export type RowTask = { readonly code: RowJob } | { readonly pack: PackJob } | { readonly open: SealedRun };

/** What a thread is given when it starts. */
export interface RowWorkerData {
  /** Absent: it is not asked for packs. */
  readonly sealerKeys?: SealerKeys | undefined;
}

/** What a thread says: that it is there, and then of one task after the other how it went. */
export type RowAnswer = { readonly isReady: true } | { readonly result: unknown } | { readonly error: unknown };

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Tasks that a thread has at once. With a second one it need not wait for the event loop in between; with more, the event loop is left
 * alone as long as the rest of a request takes it no less time than a row takes the thread.
 */
const tasksEach = 6;
/** The same for packs: a row of a large object takes longer than a pack, and many clients wait for one. */
const tasksBeforePack = 2;
/** A process that has little to do does it itself: its start is not to wait for threads, nor its memory to hold them. */
const defaultStartAfter = 8;
/** After so many threads that died no more are started. */
const maxDeaths = 16;

/**
 * Threads that seal, code and digest rows and packs, and open what was read, so that the event loop is left with the sockets and the ETags of
 * large objects, and other cores with the rest (docs/decisions/0026, 0030, 0033). Rows that are coded lie in shared memory, so that only a message
 * goes to and fro; sealed bytes are given away, and plain ones come back.
 *
 * A thread that dies fails what it had; another one takes its place.
 */
export class RowThreads {
  readonly #count: number;
  readonly #startAfter: number;
  readonly #startThread: (data: RowWorkerData) => Worker;
  readonly #sealerKeys: SealerKeys | undefined;
  readonly #threads: RowThread[] = [];
  #asked = 0;
  #deaths = 0;
  #isClosed = false;

  /**
   * @param parts.count how many threads at most
   * @param parts.sealerKeys absent: no pack is taken
   * @param parts.startAfter so many tasks are not taken before threads are started
   */
  constructor(parts: {
    count: number;
    sealerKeys?: SealerKeys;
    startAfter?: number;
    startThread?: (data: RowWorkerData) => Worker;
  }) {
    this.#count = parts.count;
    this.#sealerKeys = parts.sealerKeys;
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
    if (!(job.memory instanceof SharedArrayBuffer)) return undefined;
    return this.#findThread(tasksEach)?.run({ code: job }, []) as Promise<Uint8Array[]> | undefined;
  }

  /**
   * What `codePack` makes of a pack, once a thread has done it. The memory must be shared, and nobody else's until this settles.
   *
   * @returns undefined where no thread can take it now: then it is for the caller to do
   */
  tryPack(job: PackJob): Promise<CodedPack> | undefined {
    if (this.#sealerKeys === undefined || !(job.memory instanceof SharedArrayBuffer)) return undefined;
    return this.#findThread(tasksBeforePack)?.run({ pack: job }, []) as Promise<CodedPack> | undefined;
  }

  /**
   * What `openRun` makes of sealed bytes, once a thread has done it. Each piece must be all that is used of the memory beneath it, which is given
   * away.
   *
   * @returns undefined where no thread can take it now: then it is for the caller to do, and the pieces are as they were
   */
  tryOpen(run: SealedRun): Promise<PlainRun> | undefined {
    const buffers = run.pieces.map(({ buffer }) => buffer as ArrayBuffer);
    return this.#findThread(tasksEach)?.run({ open: run }, buffers) as Promise<PlainRun> | undefined;
  }

  /** The thread that has the least to do; undefined where all have so many tasks, or none is there yet. */
  #findThread(tasks: number): RowThread | undefined {
    if (this.#isClosed) return undefined;
    this.#asked += 1;
    if (this.#asked <= this.#startAfter) return undefined;
    while (this.#threads.length < this.#count && this.#deaths < maxDeaths) this.#start();
    let best: RowThread | undefined;
    for (const thread of this.#threads) {
      if (thread.isReady && thread.tasks < tasks && (best === undefined || thread.tasks < best.tasks)) best = thread;
    }
    return best;
  }

  /** Ends all threads; what they have not done fails. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  #start(): void {
    const thread = new RowThread(this.#startThread({ sealerKeys: this.#sealerKeys }), () => {
      this.#threads.splice(this.#threads.indexOf(thread), 1);
      if (!this.#isClosed) this.#deaths += 1;
    });
    this.#threads.push(thread);
  }
}

function startThread(workerData: RowWorkerData): Worker {
  return new Worker(new URL('row-worker.ts', import.meta.url), { name: 'rows', workerData });
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
        reject(new Error('a thread for rows ended in the middle of its work', { cause }));
      }
    });
    // An idle thread does not keep the process from ending.
    worker.unref();
  }

  get tasks(): number {
    return this.#waiting.length;
  }

  /** @param given memory that is the thread's from now on */
  run(task: RowTask, given: readonly ArrayBuffer[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#worker.postMessage(task, given);
      this.#waiting.push({ resolve, reject });
      this.#worker.ref();
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #take(answer: RowAnswer): void {
    if ('isReady' in answer) {
      this.isReady = true;
      return;
    }
    const waiting = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#worker.unref();
    if ('error' in answer) waiting?.reject(answer.error);
    else waiting?.resolve(answer.result);
  }
}
