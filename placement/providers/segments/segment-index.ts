import { markDurableStep } from '../../../core/durable-steps.ts';
import type { ShardCid } from '../../../core/model.ts';
import type { IndexCheckpoint } from './index-checkpoint.ts';
import { type EntryChange, type IndexDatabase, type IndexPosition, isIndexDamage } from './index-database.ts';
import { recordHeaderBytes } from './segment-format.ts';
import { type SegmentEntry, SegmentTally, type TallyChange } from './segment-tally.ts';

/** How many changes are saved in one turn of the event loop: well under a millisecond. */
const sliceChanges = 32;
/** From how many unsaved changes, or bytes of records, on they are saved. */
const saveChanges = 1024;
const saveBytes = 8 * 2 ** 20;
/** With more than this, whoever makes a change saves some first. */
const maxUnsavedChanges = 4096;

/** A change of the index, made by the record that ends at `end`. */
export interface IndexChange {
  readonly cid: ShardCid;
  readonly digest: Buffer;
  readonly tally: TallyChange;
  /** Where the index is right up to with this change; absent for one that no record made. */
  readonly end?: IndexPosition;
}

/**
 * Where each small shard lies. Changes are in memory first, and saved in the background in the order in which their
 * records stand in the segments, so that the database is always right up to one position and knows nothing beyond it.
 */
export class SegmentIndex {
  readonly #database: IndexDatabase;
  readonly #checkpoint: IndexCheckpoint;
  /** How the segments are used, with all changes. */
  readonly tally: SegmentTally;
  #unsaved: IndexChange[] = [];
  #unsavedBytes = 0;
  /** The newest unsaved change of each shard. */
  readonly #newest = new Map<ShardCid, IndexChange>();
  #position: IndexPosition;
  #saving: Promise<void> | undefined;
  #isClosed = false;

  constructor({ database, checkpoint }: { database: IndexDatabase; checkpoint: IndexCheckpoint }) {
    this.#database = database;
    this.#checkpoint = checkpoint;
    this.tally = database.loadTally();
    this.#position = database.position;
  }

  /** Up to where the saved index is right. */
  get savedPosition(): IndexPosition {
    return this.#position;
  }

  find(cid: ShardCid, digest: Buffer): SegmentEntry | undefined {
    const change = this.#newest.get(cid);
    if (change !== undefined) return change.tally.kind === 'store' ? change.tally.entry : undefined;
    return this.#query((database) => database.find(digest));
  }

  /** Makes a change. Changes must come in the order of their records. */
  record(change: IndexChange): void {
    if (this.#unsaved.length >= maxUnsavedChanges) this.#saveSlice();
    this.tally.apply(change.tally);
    this.#unsaved.push(change);
    const { kind } = change.tally;
    if (kind === 'store' || kind === 'delete' || kind === 'lose') this.#newest.set(change.cid, change);
    this.#unsavedBytes += kind === 'store' ? change.tally.entry.length : recordHeaderBytes;
    if (this.#unsaved.length >= saveChanges || this.#unsavedBytes >= saveBytes) this.#saveSoon();
  }

  /** Saves all changes made so far, and those that come meanwhile. */
  save(): Promise<void> {
    this.#saving ??= this.#saveAll().finally(() => {
      this.#saving = undefined;
    });
    return this.#saving;
  }

  /** As `save`, at once. */
  saveNow(): void {
    while (this.#unsaved.length > 0) this.#saveSlice();
  }

  /** Shards after `digest`, in order; those that come or go meanwhile may or may not be among them. */
  async page(after: Buffer, limit: number): Promise<{ digest: Buffer; entry: SegmentEntry }[]> {
    await this.save();
    return this.#query((database) => database.page(after, limit));
  }

  /** The segment's file goes: no shard is in it any more. */
  forgetSegment(number: number): void {
    this.saveNow();
    this.#query((database) => database.forgetSegment(number));
    this.tally.drop(number);
  }

  /** All shards in a segment. Reads the whole index. */
  listSegment(segment: number): { digest: Buffer; entry: SegmentEntry }[] {
    this.saveNow();
    return this.#query((database) => database.listSegment(segment));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      this.saveNow();
      await this.#checkpoint.close();
    } finally {
      this.#database.close();
    }
  }

  /** Where the database turns out to be damaged it is removed, so that the next start makes a new one. */
  #query<T>(work: (database: IndexDatabase) => T): T {
    try {
      return work(this.#database);
    } catch (error) {
      if (isIndexDamage(error)) this.#database.removeFile();
      throw error;
    }
  }

  /** A failure is found again by the next who saves, and counts only when there are too many changes. */
  #saveSoon(): void {
    this.save().catch(() => {});
  }

  async #saveAll(): Promise<void> {
    await Promise.resolve();
    while (this.#unsaved.length > 0 && !this.#isClosed) {
      this.#saveSlice();
      if (this.#unsaved.length > 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #saveSlice(): void {
    const slice = this.#unsaved.slice(0, sliceChanges);
    const added = new SegmentTally();
    const changes: EntryChange[] = [];
    let position = this.#position;
    let bytes = 0;
    for (const { digest, tally, end } of slice) {
      added.apply(tally);
      if (tally.kind === 'store') changes.push({ digest, entry: tally.entry });
      if (tally.kind === 'delete' || tally.kind === 'lose') changes.push({ digest, entry: undefined });
      bytes += tally.kind === 'store' ? tally.entry.length : recordHeaderBytes;
      if (end !== undefined) position = end;
    }
    this.#query((database) => database.save(changes, added, position));
    this.#position = position;
    this.#unsaved.splice(0, slice.length);
    this.#unsavedBytes -= bytes;
    for (const change of slice) if (this.#newest.get(change.cid) === change) this.#newest.delete(change.cid);
    markDurableStep('index-saved');
    this.#checkpoint.count(changes.length);
  }
}
