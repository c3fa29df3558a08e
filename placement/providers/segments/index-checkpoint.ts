import { Worker } from 'node:worker_threads';

/** How many entries are saved between checkpoints; nearly each has changed another page of the log, so that is 32 MiB. */
const checkpointEntries = 8000;

/**
 * Checkpoints of an index. They flush two files and write thousands of pages, which would hold up everything else for
 * tens of milliseconds; so each is done by a thread that lives as long as that takes.
 */
export class IndexCheckpoint {
  readonly #path: string;
  #entries = 0;
  #running: Promise<void> | undefined;
  #worker: Worker | undefined;

  constructor({ path }: { path: string }) {
    this.#path = path;
  }

  /** Takes note that so many entries were saved. */
  count(entries: number): void {
    this.#entries += entries;
    if (this.#entries < checkpointEntries || this.#running !== undefined) return;
    this.#entries = 0;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Waits for a checkpoint that is under way. */
  async close(): Promise<void> {
    // While there is nothing else to do, the process must not end before it.
    this.#worker?.ref();
    await this.#running;
  }

  /** Never rejects: one that failed leaves a longer log, which the next one takes. */
  #run(): Promise<void> {
    return new Promise((resolve) => {
      const worker = new Worker(new URL('checkpoint-worker.ts', import.meta.url), { workerData: this.#path });
      worker.once('error', () => resolve());
      worker.once('exit', () => resolve());
      worker.unref();
      this.#worker = worker;
    });
  }
}
