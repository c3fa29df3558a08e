import type { Database, Statement } from 'better-sqlite3';
import { markDurableStep } from '../../core/durable-steps.ts';
import type { Log } from '../../core/log.ts';

/** What the store keeps in memory of the database, and must follow it when a verb or a whole batch is undone. */
export interface BatchState {
  /** Before each verb. */
  mark(): void;
  /** The verb since `mark` was undone. */
  rewind(): void;
  /** Before the commit: writes what is kept in memory until then. */
  save(): void;
  /** The whole batch was undone. */
  reload(): void;
  /** The batch is durable, or undone: whoever waits for it is about to be told. */
  end(): void;
}

interface Entry {
  readonly verb: () => unknown;
  /** As a rule it does not throw, and it may be run again after all that it did was undone. */
  readonly isSure: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A commit with many verbs holds up the event loop; past this, the rest waits for the next turn. */
const maxBatchVerbs = 512;

/**
 * Group commit: verbs that arrive in one turn of the event loop share one transaction, and so one wait for the disk.
 * Each runs inside a savepoint, so one that throws leaves no trace and disturbs no other; a verb that is alone has the transaction
 * for that. A savepoint costs a fifth of what a small object's row does, since SQLite keeps a copy of each page that is changed within
 * it: verbs that are sure not to throw share the transaction, and when one does all the same, they are run again with savepoints.
 */
export class WriteQueue {
  readonly #db: Database;
  readonly #state: BatchState;
  readonly #log: Log;
  readonly #flush: (() => Promise<void>) | undefined;
  readonly #begin: Statement<[]>;
  readonly #commit: Statement<[]>;
  readonly #rollback: Statement<[]>;
  readonly #savepoint: Statement<[]>;
  readonly #release: Statement<[]>;
  readonly #undo: Statement<[]>;
  #entries: Entry[] = [];
  /** Whether a batch is to run, or is being flushed. */
  #isScheduled = false;
  #flushing: Promise<void> | undefined;
  #fault: Error | undefined;
  #isClosed = false;
  #whenDrained: (() => void) | undefined;

  /** @param parts.flush makes durable what was committed; not given where nothing is durable */
  constructor(parts: { db: Database; state: BatchState; log: Log; flush?: (() => Promise<void>) | undefined }) {
    this.#flush = parts.flush;
    this.#db = parts.db;
    this.#state = parts.state;
    this.#log = parts.log;
    this.#begin = parts.db.prepare('BEGIN IMMEDIATE');
    this.#commit = parts.db.prepare('COMMIT');
    this.#rollback = parts.db.prepare('ROLLBACK');
    this.#savepoint = parts.db.prepare('SAVEPOINT verb');
    this.#release = parts.db.prepare('RELEASE verb');
    this.#undo = parts.db.prepare('ROLLBACK TO verb');
  }

  /**
   * Runs `verb` in the next batch. Settles after the commit, with what the verb returned or threw.
   *
   * @param options.isSure the verb hardly ever throws, and keeps nothing in memory but what `BatchState` can undo: it may be run twice
   */
  run<T>(verb: () => T, { isSure = false }: { readonly isSure?: boolean } = {}): Promise<T> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    if (this.#isClosed) return Promise.reject(new Error('the metadata store is closed'));
    return new Promise<T>((resolve, reject) => {
      this.#entries.push({ verb, isSure, resolve: resolve as (value: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** Refuses further verbs and waits for those that are queued. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#entries.length > 0 || this.#flushing !== undefined) {
      await new Promise<void>((resolve) => {
        this.#whenDrained = resolve;
      });
    }
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#runBatch);
  }

  /** Set while a commit is on its way to stable storage: what it wrote can be seen by now and must not be shown yet. */
  get flushing(): Promise<void> | undefined {
    return this.#flushing;
  }

  readonly #runBatch = (): void => {
    const all = this.#entries;
    const batch = all.length > maxBatchVerbs ? all.slice(0, maxBatchVerbs) : all;
    this.#entries = all.length > maxBatchVerbs ? all.slice(maxBatchVerbs) : [];
    let settle: (() => void)[];
    try {
      this.#begin.run();
      const isTogether = batch.length === 1 || batch.every(({ isSure }) => isSure);
      settle = isTogether ? this.#runTogether(batch) : batch.map((entry) => this.#runVerb(entry));
      if (this.#db.inTransaction) {
        this.#state.save();
        markDurableStep('metadata-committing');
        this.#commit.run();
        if (this.#flush !== undefined) {
          this.#settleFlushed(batch, settle, this.#flush);
          return;
        }
        markDurableStep('metadata-committed');
      }
    } catch (error) {
      this.#log.error({ err: error, verbs: batch.length }, 'metadata batch failed');
      this.#abandon();
      settle = batch.map((entry) => () => entry.reject(error));
    }
    this.#settle(settle);
  };

  #settleFlushed(batch: readonly Entry[], settle: readonly (() => void)[], flush: () => Promise<void>): void {
    this.#flushing = flush().then(
      () => {
        this.#flushing = undefined;
        markDurableStep('metadata-committed');
        this.#settle(settle);
      },
      (error: unknown) => {
        // After a flush that failed nobody can say what is on the disk (https://lwn.net/Articles/752063/).
        this.#flushing = undefined;
        this.#fault = new Error('the metadata store is closed: its log could not be flushed', { cause: error });
        this.#log.error(
          { err: error, verbs: batch.length },
          'metadata log cannot be flushed: no more writes are taken',
        );
        const all = [...batch, ...this.#entries];
        this.#entries = [];
        this.#settle(all.map((entry) => () => entry.reject(this.#fault)));
      },
    );
  }

  #settle(settle: readonly (() => void)[]): void {
    this.#isScheduled = false;
    this.#state.end();
    for (const tell of settle) tell();
    if (this.#entries.length > 0) this.#schedule();
    else this.#whenDrained?.();
  }

  /** Leaves the transaction open. When a verb throws all are undone; one that was alone is refused, others are run again one by one. */
  #runTogether(batch: readonly Entry[]): (() => void)[] {
    this.#state.mark();
    try {
      return batch.map((entry) => {
        const value = entry.verb();
        return () => entry.resolve(value);
      });
    } catch (error) {
      if (!this.#db.inTransaction) throw error;
      this.#rollback.run();
      this.#state.rewind();
      if (batch.length === 1) return [() => batch[0]!.reject(error)];
      this.#begin.run();
      return batch.map((entry) => this.#runVerb(entry));
    }
  }

  /** Returns how to tell the caller once the batch is durable. Throws only when the whole transaction is lost. */
  #runVerb(entry: Entry): () => void {
    this.#state.mark();
    this.#savepoint.run();
    try {
      const value = entry.verb();
      this.#release.run();
      return () => entry.resolve(value);
    } catch (error) {
      // A full disk or an I/O error may already have rolled everything back.
      if (!this.#db.inTransaction) throw error;
      this.#undo.run();
      this.#release.run();
      this.#state.rewind();
      return () => entry.reject(error);
    }
  }

  #abandon(): void {
    try {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
      this.#state.reload();
    } catch (error) {
      this.#log.error({ err: error }, 'metadata rollback failed');
    }
  }
}
