import type { Metrics } from '../../core/metrics.ts';
import type { SealedRun } from '../../crypto/open-packages.ts';
import { type CodedPack, codePack, type PackJob, type PackTools } from './code-pack.ts';
import { codeRow, type RowJob } from './code-row.ts';
import { openRun, type PlainRun } from './open-run.ts';
import type { RowThreads } from './row-threads.ts';
import { runInTurns } from './run-through.ts';

/** Below this, a message to a thread and back costs about as much as the work. */
export const leastThreadedBytes = 256 * 1024;
/** The same of a pack's fresh objects: with fewer a client would wait for the message longer than the work takes. */
const leastThreadedObjects = 16;

/** Work on rows and packs: a thread does it where one is free, and this process where not. */
export class RowWork {
  readonly #tools: PackTools;
  readonly #threads: RowThreads | undefined;
  readonly #counts: Metrics['rowTasks'];

  constructor(parts: { tools: PackTools; threads: RowThreads | undefined; metrics: Metrics }) {
    this.#tools = parts.tools;
    this.#threads = parts.threads;
    this.#counts = parts.metrics.rowTasks;
  }

  get hasThreads(): boolean {
    return this.#threads !== undefined;
  }

  /** As `codeRow`. Where there are threads, the row's memory must be shared, and is nobody else's until this settles. */
  code(job: RowJob): Promise<Uint8Array[]> {
    const coding = this.#threads?.tryCode(job);
    this.#counts.code[coding === undefined ? 'inline' : 'thread'].value++;
    return coding ?? Promise.resolve(codeRow(this.#tools.codec, job));
  }

  /** As `codePack`. The memory is nobody else's until this settles, and must be shared where a thread is to do it. */
  pack(job: PackJob): Promise<CodedPack> {
    const coding = job.fresh.length < leastThreadedObjects ? undefined : this.#threads?.tryPack(job);
    this.#counts.pack[coding === undefined ? 'inline' : 'thread'].value++;
    return coding ?? runInTurns(codePack(this.#tools, job));
  }

  /**
   * As `openRun`. What a thread had that died counts as corrupt from its beginning: it is to be read again.
   *
   * @param run.pieces nobody else's any more
   */
  open(run: SealedRun): PlainRun | Promise<PlainRun> {
    if (run.pieces.reduce((sum, { length }) => sum + length, 0) < leastThreadedBytes) return openRun(run);
    const opening = this.#threads?.tryOpen(run);
    this.#counts.open[opening === undefined ? 'inline' : 'thread'].value++;
    return opening?.catch(() => ({ plain: new Uint8Array(0), corrupt: run.first })) ?? openRun(run);
  }
}
