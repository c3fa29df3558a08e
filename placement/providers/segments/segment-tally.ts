import { type RecordPlace, recordBytes, recordHeaderBytes } from './segment-format.ts';

/** Where a shard lies, and what its record says of it. */
export interface SegmentEntry extends RecordPlace {
  /** Bytes of the shard. */
  readonly length: number;
  readonly committedAtMs: number;
}

/** What one record, at `place` and `bytes` long, changed. */
export type TallyChange =
  /** A shard was stored; `previous` is an older record of it, which is dead now. */
  | { readonly kind: 'store'; readonly entry: SegmentEntry; readonly previous: SegmentEntry | undefined }
  /** A shard was deleted by a tombstone at `place`. */
  | { readonly kind: 'delete'; readonly place: RecordPlace; readonly previous: SegmentEntry }
  /** A tombstone was written again, or one that found nothing to delete. */
  | { readonly kind: 'carry'; readonly place: RecordPlace; readonly target: RecordPlace }
  /** A record holds nothing that counts. */
  | { readonly kind: 'waste'; readonly place: RecordPlace; readonly bytes: number }
  /** A shard is gone, with no record that says so. */
  | { readonly kind: 'lose'; readonly previous: SegmentEntry };

/** How the bytes of one segment are used. */
export interface SegmentUse {
  /** All records. */
  totalBytes: number;
  /** Records of shards that are there. */
  liveBytes: number;
  /** Tombstones, by the segment that holds the deleted record. */
  readonly tombstoneBytes: Map<number, number>;
}

/** How the bytes of segments are used: the whole of it, or what a number of changes add to it. */
export class SegmentTally {
  readonly #uses = new Map<number, SegmentUse>();

  get numbers(): Iterable<number> {
    return this.#uses.keys();
  }

  get entries(): Iterable<[number, SegmentUse]> {
    return this.#uses;
  }

  find(number: number): SegmentUse | undefined {
    return this.#uses.get(number);
  }

  /** The use of a segment, which is known from now on. */
  ensure(number: number): SegmentUse {
    let use = this.#uses.get(number);
    if (use === undefined) {
      use = { totalBytes: 0, liveBytes: 0, tombstoneBytes: new Map() };
      this.#uses.set(number, use);
    }
    return use;
  }

  /** The segment's file is gone. */
  drop(number: number): void {
    this.#uses.delete(number);
  }

  apply(change: TallyChange): void {
    switch (change.kind) {
      case 'store': {
        const bytes = recordBytes(change.entry.length);
        const use = this.ensure(change.entry.segment);
        use.totalBytes += bytes;
        use.liveBytes += bytes;
        if (change.previous !== undefined) this.#kill(change.previous);
        return;
      }
      case 'delete':
        this.#addTombstone(change.place, change.previous.segment);
        this.#kill(change.previous);
        return;
      case 'carry':
        this.#addTombstone(change.place, change.target.segment);
        return;
      case 'waste':
        this.ensure(change.place.segment).totalBytes += change.bytes;
        return;
      case 'lose':
        this.#kill(change.previous);
    }
  }

  /** Bytes that emptying the segment gives back. */
  deadBytes(number: number): number {
    const use = this.#uses.get(number);
    return use === undefined ? 0 : use.totalBytes - use.liveBytes - this.#neededTombstoneBytes(number, use);
  }

  /** A tombstone is needed as long as the record that it speaks of could be found again, by a rebuild of the index. */
  #neededTombstoneBytes(number: number, use: SegmentUse): number {
    let needed = 0;
    for (const [target, bytes] of use.tombstoneBytes) {
      if (target !== number && this.#uses.has(target)) needed += bytes;
    }
    return needed;
  }

  #addTombstone(place: RecordPlace, target: number): void {
    const use = this.ensure(place.segment);
    use.totalBytes += recordHeaderBytes;
    use.tombstoneBytes.set(target, (use.tombstoneBytes.get(target) ?? 0) + recordHeaderBytes);
  }

  #kill(previous: SegmentEntry): void {
    this.ensure(previous.segment).liveBytes -= recordBytes(previous.length);
  }
}
