import { markDurableStep } from '../../core/durable-steps.ts';
import { isFailure } from '../../core/failure.ts';
import type { Profile } from '../../core/model.ts';
import type { SystemObject } from '../../metadata/metadata-store.ts';
import { systemProfileName } from '../../metadata/metadata-store.ts';
import type { EngineParts, MetadataJournal } from '../engine-parts.ts';
import { batchName, encodeBatch, isBatchName, type SnapshotReference } from './journal-batch.ts';
import { RootKeeper } from './root-keeper.ts';
import { parseChunkName } from './snapshot-chunk.ts';
import { measureStripe, type SystemLocation } from './system-location.ts';
import { writeSnapshot } from './write-snapshot.ts';
import { type SystemWriteParts, storeSystemObject } from './write-system-object.ts';

export type JournalParts = SystemWriteParts & Pick<EngineParts, 'metadata' | 'log' | 'profiles'>;

/** The journal may grow to this, or to the length of the snapshot, before there is a new snapshot. */
const minJournalBytes = 16 * 2 ** 20;
/** About how many records a batch should have at most, and how soon after one the next may come for that. */
const batchRecords = 5_000;
const minDelayMs = 500;

/** The snapshot that the chain rests on. */
interface ChainSnapshot extends SnapshotReference {
  readonly bytes: number;
  readonly chunks: number;
  readonly writtenAtMs: number;
}

/**
 * Keeps the metadata at the providers: changes as batches of a journal, now and then all of it as a snapshot, and on every
 * provider a root that says where the newest of both lie (docs/recovery.md).
 *
 * Batches come every `journalIntervalMs` where anything changed, and at once for whoever calls `flush`. Callers that come
 * while one is written share the next one.
 */
export class Journal implements MetadataJournal {
  readonly #parts: JournalParts;
  readonly #profile: Profile;
  readonly #intervalMs: number;
  readonly #snapshotBatches: number;
  readonly #roots: RootKeeper;
  readonly #controller = new AbortController();
  #isStarted = false;
  #timer: NodeJS.Timeout | undefined;
  #rootsDueAtMs = 0;
  /** How many records the last batch had. */
  #lastRecords = 1;
  /** The end of the work that must come one at a time: batches, and steps of snapshots between them. */
  #queue: Promise<unknown> = Promise.resolve();
  /** The batch that has not begun yet, where somebody waits for it. */
  #next: Promise<void> | undefined;
  #snapshotting: Promise<void> | undefined;
  #tick: Promise<void> = Promise.resolve();
  /** What is known of the chain; undefined until it was read from the store. */
  #opening: Promise<void> | undefined;
  #newest: SystemLocation | undefined;
  #snapshot: ChainSnapshot | undefined;
  /** Batches since the snapshot began. */
  #batches = 0;
  #batchBytes = 0;
  /** All changes that were committed before this moment are in the journal. */
  #coversUntilMs = 0;
  #isStorageFull = false;
  /** System objects that the newest chain does not need. */
  #superseded: string[] = [];

  /**
   * @param parts.profiles the first one says how system objects are coded
   * @param snapshotBatches as many batches there may be before there is a new snapshot, or twice as many as it has chunks: to replay one
   *   costs about as much as a chunk
   * @param intervalMs from one batch to the next; what changes in between is what the loss of the gateway's disk can undo
   */
  constructor(
    parts: JournalParts,
    { intervalMs, snapshotBatches }: { readonly intervalMs: number; readonly snapshotBatches: number },
  ) {
    const [first] = parts.profiles;
    if (first === undefined) throw new RangeError('there is no profile');
    this.#parts = parts;
    this.#profile = { name: systemProfileName, k: first.k, m: first.m };
    this.#intervalMs = intervalMs;
    this.#snapshotBatches = snapshotBatches;
    this.#roots = new RootKeeper(parts);
  }

  /** Begins to write a batch every interval; never keeps the process alive. */
  start(): void {
    this.#isStarted = true;
    this.#beginTick();
  }

  /**
   * Resolves when all changes that were committed before the call are durable at the providers.
   *
   * @throws Failure `too-few-writes`, `storage-full`, `overloaded`: the changes stay, and come with a later batch
   */
  flush(): Promise<void> {
    this.#next ??= this.#exclusively(() => {
      this.#next = undefined;
      return this.#writeBatch(false);
    });
    return this.#next;
  }

  /**
   * Changes that were committed before this moment are journaled. A stripe that was freed later must stay: if the disk were lost,
   * what would be recovered may still refer to it. Infinite while the providers are full, since to delete is then the only way out.
   */
  coversUntilMs(): number {
    return this.#isStorageFull ? Number.POSITIVE_INFINITY : this.#coversUntilMs;
  }

  /** Does all that is due now, a snapshot included where `isSnapshotDue` or one is needed: for tests and operators. */
  async runOnce({ isSnapshotDue = false }: { readonly isSnapshotDue?: boolean } = {}): Promise<void> {
    await this.flush();
    if (isSnapshotDue || this.#needsSnapshot()) await this.#takeSnapshot(false);
    await this.#writeRoots();
  }

  /** Writes a last batch and ends the work under way. Never throws. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    clearTimeout(this.#timer);
    await this.#tick;
    const isSnapshotting = this.#snapshotting !== undefined;
    try {
      await this.flush();
      if (!isSnapshotting) await this.#writeRoots();
    } catch (error) {
      this.#parts.log.error({ err: error }, 'the last changes are not in the journal');
    }
    this.#controller.abort(new DOMException('The journal was stopped', 'AbortError'));
    await this.#snapshotting?.catch(noop);
    await this.#queue;
  }

  #beginTick(): void {
    this.#tick = this.#runTick().then(() => {
      if (!this.#isStarted) return;
      this.#timer = setTimeout(() => this.#beginTick(), this.#delayMs());
      this.#timer.unref();
    });
  }

  /** Where much changes batches come more often, so that none takes long or much memory. */
  #delayMs(): number {
    return Math.max(
      this.#intervalMs * Math.min(1, batchRecords / this.#lastRecords),
      Math.min(minDelayMs, this.#intervalMs),
    );
  }

  async #runTick(): Promise<void> {
    const { log } = this.#parts;
    try {
      await this.flush();
      if (performance.now() >= this.#rootsDueAtMs) {
        await this.#writeRoots();
        this.#rootsDueAtMs = performance.now() + this.#intervalMs;
      }
      if (this.#needsSnapshot() && this.#snapshotting === undefined) {
        this.#snapshotting = this.#takeSnapshot(true)
          .catch((error: unknown) => {
            if (!this.#controller.signal.aborted) log.error({ err: error }, 'snapshot failed');
          })
          .finally(() => {
            this.#snapshotting = undefined;
          });
      }
    } catch (error) {
      if (!this.#controller.signal.aborted)
        log.error({ err: error }, 'journal failed: recent changes are on one disk only');
    }
  }

  /** @param isForced write one even where nothing changed, since what it points to did */
  async #writeBatch(isForced: boolean): Promise<void> {
    const { metrics } = this.#parts;
    try {
      await this.#open();
      await this.#writeChanges(isForced);
      this.#isStorageFull = false;
    } catch (error) {
      metrics.journalBatches.inc({ outcome: 'failed' });
      this.#isStorageFull = isFailure(error, 'storage-full');
      throw error;
    }
    metrics.journalCoversSeconds.set(this.#coversUntilMs / 1_000);
  }

  async #writeChanges(isForced: boolean): Promise<void> {
    const { metadata, pins, clock, metrics } = this.#parts;
    const { signal } = this.#controller;
    const nowMs = clock.now();
    // In one turn: a write is among these numbers, or its own is higher, or it was committed and is among the changes.
    const outstanding = pins.writesUnderWay();
    const oldestWriteMs = Math.min(pins.oldestWriteMs(), nowMs);
    const sequence = metadata.drawNumber();
    const { records, mark } = await metadata.readChanges();
    this.#lastRecords = Math.max(records.length, 1);
    if (records.length > 0 || isForced) {
      const header = {
        sequence,
        outstanding,
        createdAtMs: nowMs,
        oldestWriteMs,
        ...(this.#newest && { previous: this.#newest }),
        ...(this.#snapshot && { snapshot: { begin: this.#snapshot.begin, last: this.#snapshot.last } }),
      };
      const content = await encodeBatch(header, records);
      const object = { name: batchName(sequence), number: sequence, content };
      const noteBatch = async (location: SystemLocation): Promise<void> => {
        markDurableStep('journal-stored');
        await Promise.all([metadata.putSystemObject(location), metadata.forgetChanges(mark)]);
        markDurableStep('journal-noted');
      };
      this.#newest = await storeSystemObject(this.#parts, object, this.#profile, noteBatch, signal);
      this.#batches += 1;
      this.#batchBytes += content.length;
      metrics.journalBatches.inc({ outcome: 'ok' });
      metrics.journalBytes.inc(content.length);
    }
    this.#coversUntilMs = nowMs;
  }

  /** Once: finds the chain in the store, and takes a snapshot where the store has a past that no chain tells of. */
  async #open(): Promise<void> {
    this.#opening ??= this.#readChain();
    try {
      await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async #readChain(): Promise<void> {
    const { metadata, clock } = this.#parts;
    const objects = await metadata.listSystemObjects();
    const chunks = objects.flatMap((object) => {
      const chunk = parseChunkName(object.name);
      return chunk ? [{ object, chunk }] : [];
    });
    const newestChunk = chunks.filter(({ chunk }) => chunk.isLast).at(-1);
    const begin = newestChunk?.chunk.begin ?? 0;
    const batches = objects.filter((object) => isBatchName(object.name) && object.number > begin);
    const newest = batches.at(-1);
    this.#newest = newest && (await this.#locate(newest));
    const ownChunks = chunks.filter(({ chunk }) => chunk.begin === begin);
    if (newestChunk !== undefined) {
      this.#snapshot = {
        begin,
        last: await this.#locate(newestChunk.object),
        chunks: ownChunks.length,
        bytes: ownChunks.reduce((sum, { object }) => sum + object.sizeBytes, 0),
        writtenAtMs: clock.now(),
      };
    }
    this.#batches = batches.length;
    this.#batchBytes = batches.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const needed = new Set([...batches, ...ownChunks.map(({ object }) => object)].map(({ name }) => name));
    // Of a snapshot that was not finished nothing is of use, and of one that was replaced neither, once the roots say so.
    const dropped = objects.map(({ name }) => name).filter((name) => !needed.has(name));
    const unfinished = dropped.filter((name) => (parseChunkName(name)?.begin ?? 0) > begin);
    if (unfinished.length > 0) await metadata.deleteSystemObjects(unfinished);
    this.#superseded = dropped.filter((name) => !unfinished.includes(name));
    if (this.#newest === undefined && this.#snapshot === undefined) await this.#takeFirstSnapshot();
  }

  /** What was in the store before its first batch is in no other one. */
  async #takeFirstSnapshot(): Promise<void> {
    this.#snapshot = await this.#writeSnapshot(this.#parts.metadata.drawNumber(), false);
  }

  #needsSnapshot(): boolean {
    const snapshotBytes = this.#snapshot?.bytes ?? 0;
    const maxBatches = Math.max(this.#snapshotBatches, 2 * (this.#snapshot?.chunks ?? 0));
    const maxBytes = Math.max(snapshotBytes, minJournalBytes);
    return this.#batchBytes > maxBytes || this.#batches > maxBatches;
  }

  async #takeSnapshot(isThrottled: boolean): Promise<void> {
    const { metadata } = this.#parts;
    const [begin, before] = await this.#exclusively(() => {
      return [metadata.drawNumber(), { batches: this.#batches, bytes: this.#batchBytes }] as const;
    });
    const snapshot = await this.#writeSnapshot(begin, isThrottled);
    const objects = await metadata.listSystemObjects();
    await this.#exclusively(() => {
      this.#snapshot = snapshot;
      this.#batches -= before.batches;
      this.#batchBytes -= before.bytes;
      // Changes that came while it was written make it whole; whatever this batch brings, it points to the snapshot.
      return this.#writeBatch(true);
    });
    this.#superseded = objects
      .filter(({ name, number }) => {
        const chunk = parseChunkName(name);
        return chunk ? chunk.begin < begin : isBatchName(name) && number < begin;
      })
      .map(({ name }) => name);
    await this.#writeRoots();
  }

  async #writeSnapshot(begin: number, isThrottled: boolean): Promise<ChainSnapshot> {
    const { metrics, clock } = this.#parts;
    try {
      const request = { begin, profile: this.#profile, isThrottled };
      const written = await writeSnapshot(this.#parts, request, this.#controller.signal);
      markDurableStep('snapshot-stored');
      const writtenAtMs = clock.now();
      metrics.snapshots.inc({ outcome: 'ok' });
      metrics.snapshotWrittenSeconds.set(writtenAtMs / 1_000);
      metrics.snapshotBytes.set(written.bytes);
      return { ...written, writtenAtMs };
    } catch (error) {
      metrics.snapshots.inc({ outcome: 'failed' });
      await this.#dropSnapshot(begin).catch(noop);
      throw error;
    }
  }

  /** What a crash prevents here is done at the next start. */
  async #dropSnapshot(begin: number): Promise<void> {
    const { metadata } = this.#parts;
    const objects = await metadata.listSystemObjects();
    const names = objects.map(({ name }) => name).filter((name) => parseChunkName(name)?.begin === begin);
    if (names.length > 0) await metadata.deleteSystemObjects(names);
  }

  #exclusively<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.then(noop, noop);
    return result;
  }

  /** Points the roots at the newest batch, and once enough of them are, drops what nothing points to any more. */
  async #writeRoots(): Promise<void> {
    const batch = this.#newest;
    if (batch === undefined || (!this.#roots.isBehind(batch) && this.#superseded.length === 0)) return;
    const superseded = this.#superseded;
    const count = await this.#roots.write(batch, this.#controller.signal);
    markDurableStep('roots-written');
    // With m providers lost there must be one left that points at the new chain.
    if (superseded.length === 0 || count <= this.#profile.m) return;
    await this.#parts.metadata.deleteSystemObjects(superseded);
    markDurableStep('snapshot-dropped');
    if (this.#superseded === superseded) this.#superseded = [];
  }

  async #locate({ name, number, sizeBytes, spans }: SystemObject): Promise<SystemLocation> {
    const ids = spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId));
    const stripes = await this.#parts.metadata.findStripes(ids);
    return { name, number, sizeBytes, spans, stripes: Array.from(stripes.values(), measureStripe) };
  }
}

function noop(): void {}
