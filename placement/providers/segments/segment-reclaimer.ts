import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cidDigestBytes, cidOfDigest } from '../../../core/cid-digest.ts';
import { markDurableStep } from '../../../core/durable-steps.ts';
import type { ShardCid } from '../../../core/model.ts';
import { hasErrorCode, readFully, readUpTo, sizeOfFile, syncFolder } from '../durable-files.ts';
import { type ScannedRecord, scanSegment } from './scan-segment.ts';
import type { SegmentFiles } from './segment-files.ts';
import {
  isSamePlace,
  parseSegmentHeader,
  type RecordPlace,
  recordBytes,
  recordHeaderBytes,
  segmentFileName,
  segmentHeaderBytes,
} from './segment-format.ts';
import type { SegmentIndex } from './segment-index.ts';
import type { SegmentEntry } from './segment-tally.ts';
import { positionAfter, type SegmentWriter, type WrittenPlace } from './segment-writer.ts';

/** How much of a segment one call looks through, about. */
const pieceBytes = 4 * 2 ** 20;
/** A segment is emptied when more than this of it is dead. */
const deadShareOfOne = 0.5;
/** The deadest segments are emptied while more than this of all of them is dead. */
const deadShareOfAll = 0.1;
/** Below an eighth of the usual size a segment is small; so many small ones are put together. */
const smallShare = 1 / 8;
const smallSegments = 8;
/** The newest segment goes only where this much of it is dead. */
const minNewestDeadBytes = 256 * 1024;

/** Where in which segment an emptying goes on. */
interface Emptying {
  readonly number: number;
  offset: number;
}

/**
 * Gives back the space of deleted shards: live records of a segment are copied to the current one and flushed, the index is
 * pointed to the copies and saved, and then the old file is unlinked. After a crash in between, both copies are there,
 * and the later one counts.
 */
export class SegmentReclaimer {
  readonly #folder: string;
  readonly #segmentBytes: number;
  readonly #index: SegmentIndex;
  readonly #files: SegmentFiles;
  readonly #writer: SegmentWriter;
  readonly #checkFolder: () => Promise<void>;
  #emptying: Emptying | undefined;
  #running: Promise<boolean> | undefined;
  #isClosed = false;

  constructor(parts: {
    folder: string;
    segmentBytes: number;
    index: SegmentIndex;
    files: SegmentFiles;
    writer: SegmentWriter;
    checkFolder: () => Promise<void>;
  }) {
    this.#folder = parts.folder;
    this.#segmentBytes = parts.segmentBytes;
    this.#index = parts.index;
    this.#files = parts.files;
    this.#writer = parts.writer;
    this.#checkFolder = parts.checkFolder;
  }

  /** Does a piece of work, one at a time. Resolves to whether there is more. */
  async reclaim(signal: AbortSignal | undefined): Promise<boolean> {
    while (this.#running !== undefined) await this.#running.catch(() => {});
    signal?.throwIfAborted();
    if (this.#isClosed) throw new Error('the provider was closed');
    this.#running = this.#reclaimPiece(signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running?.catch(() => {});
  }

  async #reclaimPiece(signal: AbortSignal | undefined): Promise<boolean> {
    await this.#checkFolder();
    this.#emptying ??= this.#choose();
    if (this.#emptying === undefined) return false;
    const { number } = this.#emptying;
    if (this.#writer.currentNumber === number) this.#writer.roll();
    const { tally } = this.#index;
    const isDead = tally.deadBytes(number) === tally.find(number)?.totalBytes;
    if (isDead || (await this.#copyPiece(this.#emptying, signal))) {
      await this.#salvage(number);
      await this.#dropSegment(number);
      this.#emptying = undefined;
    }
    return this.#emptying !== undefined || this.#choose() !== undefined;
  }

  /** Copies what is needed in a piece of the segment. Resolves to whether that was the last one. */
  async #copyPiece(emptying: Emptying, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      return await this.#files.use(emptying.number, async (fd) => {
        const identity = parseSegmentHeader(await readUpTo(fd, 0, segmentHeaderBytes));
        if (identity === undefined) return true;
        const end = await sizeOfFile(fd);
        const copies = new Set<Promise<void>>();
        let offset = emptying.offset;
        let isLast = true;
        for await (const scanned of scanSegment({ fd, salt: identity.salt, from: offset, end })) {
          const copy = this.#copyRecord(emptying.number, scanned);
          // Whether it failed is asked below; until then it must not count as a failure that nobody looks at.
          copy?.catch(() => {});
          if (copy !== undefined) copies.add(copy);
          offset = scanned.end;
          isLast = offset - emptying.offset < pieceBytes && !signal?.aborted;
          if (!isLast) break;
        }
        await Promise.all(copies);
        emptying.offset = offset;
        signal?.throwIfAborted();
        return isLast;
      });
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return true;
      throw error;
    }
  }

  #copyRecord(number: number, { record, offset, bytes }: ScannedRecord): Promise<void> | undefined {
    if (record.kind === 'tombstone') {
      const { target } = record;
      const isNeeded = target.segment !== number && this.#index.tally.find(target.segment) !== undefined;
      return isNeeded ? this.#writeTombstone(record) : undefined;
    }
    const cid = cidOfDigest(record.digest);
    const old = this.#index.find(cid, record.digest);
    if (old === undefined || !isSamePlace(old, { segment: number, offset })) return undefined;
    return this.#moveShard({ cid, digest: record.digest, old }, Buffer.from(bytes), record.bytesCrc);
  }

  /** Where records are damaged, the scan passes over shards that the index can still find. */
  async #salvage(number: number): Promise<void> {
    if ((this.#index.tally.find(number)?.liveBytes ?? 0) === 0) return;
    for (const { digest, entry } of this.#index.listSegment(number)) {
      const cid = cidOfDigest(digest);
      const current = this.#index.find(cid, digest);
      if (current === undefined || !isSamePlace(current, entry)) continue;
      try {
        const read = (fd: number) => readFully(fd, entry.offset + recordHeaderBytes, entry.length);
        const bytes = await this.#files.use(number, read);
        await this.#moveShard({ cid, digest, old: entry }, bytes, undefined);
      } catch (error) {
        if (!hasErrorCode(error, 'ENOENT') && !(error instanceof RangeError)) throw error;
        await this.#checkFolder();
        this.#index.record({ cid, digest, tally: { kind: 'lose', previous: entry } });
      }
    }
  }

  async #moveShard(
    shard: { readonly cid: ShardCid; readonly digest: Buffer; readonly old: SegmentEntry },
    bytes: Uint8Array,
    bytesCrc: number | undefined,
  ): Promise<void> {
    const { cid, digest, old } = shard;
    const { length, committedAtMs } = old;
    let orphan: RecordPlace | undefined;
    const onWritten = (place: WrittenPlace) => {
      const { segment, offset } = place;
      const end = positionAfter(place);
      const previous = this.#index.find(cid, digest);
      if (previous !== undefined && isSamePlace(previous, old)) {
        const entry = { segment, offset, length, committedAtMs };
        this.#index.record({ cid, digest, tally: { kind: 'store', entry, previous }, end });
      } else {
        // Deleted, or written anew, meanwhile.
        orphan = { segment, offset };
        const tally = { kind: 'waste', place: orphan, bytes: recordBytes(length) } as const;
        this.#index.record({ cid, digest, tally, end });
      }
    };
    const crc = bytesCrc === undefined ? {} : { bytesCrc };
    const buffers = [bytes];
    await this.#writer.append({
      kind: 'shard',
      digest,
      buffers,
      length,
      committedAtMs,
      ...crc,
      signal: undefined,
      onWritten,
    });
    // Without a tombstone, an index that is made again would take the copy for the shard.
    if (orphan !== undefined) await this.#writeTombstone({ digest, committedAtMs, target: orphan });
  }

  #writeTombstone(parts: { digest: Buffer; committedAtMs: number; target: RecordPlace }): Promise<void> {
    const { digest, committedAtMs, target } = parts;
    const cid = cidOfDigest(digest);
    return this.#writer.append({
      kind: 'tombstone',
      digest,
      committedAtMs,
      target,
      onWritten: (place) =>
        this.#index.record({ cid, digest, tally: { kind: 'carry', place, target }, end: positionAfter(place) }),
    });
  }

  async #dropSegment(number: number): Promise<void> {
    if (number === this.#newestNumber()) {
      // A number is never used twice, so there must be a newer segment before this one goes.
      this.#writer.roll();
      const nobody = Buffer.alloc(cidDigestBytes);
      await this.#writeTombstone({ digest: nobody, committedAtMs: 0, target: { segment: number, offset: 0 } });
    }
    markDurableStep('segment-emptied');
    await this.#checkFolder();
    this.#index.saveNow();
    await unlink(join(this.#folder, segmentFileName(number))).catch((error) => {
      if (!hasErrorCode(error, 'ENOENT')) throw error;
    });
    markDurableStep('segment-unlinked');
    // The index must not forget a segment that a power cut brings back.
    await syncFolder(this.#folder);
    this.#index.forgetSegment(number);
    this.#files.retire(number);
  }

  #newestNumber(): number {
    let newest = 0;
    for (const number of this.#index.tally.numbers) newest = Math.max(newest, number);
    return newest;
  }

  /** The segment to empty next, or none. */
  #choose(): Emptying | undefined {
    const { tally } = this.#index;
    const smallBytes = this.#segmentBytes * smallShare;
    const newest = this.#newestNumber();
    let [totalBytes, deadBytes] = [0, 0];
    let deadest: { number: number; share: number } | undefined;
    const small: number[] = [];
    for (const [number, use] of tally.entries) {
      const dead = tally.deadBytes(number);
      totalBytes += use.totalBytes;
      deadBytes += dead;
      // The newest, which as a rule is being written, goes only where it is worth beginning another.
      if (number === newest && dead < Math.min(minNewestDeadBytes, smallBytes)) continue;
      const share = use.totalBytes === 0 ? 1 : dead / use.totalBytes;
      if (deadest === undefined || share > deadest.share) deadest = { number, share };
      if (number !== newest && use.totalBytes < smallBytes) small.push(number);
    }
    if (deadest !== undefined && deadest.share > deadShareOfOne) return startOf(deadest.number);
    if (deadest !== undefined && deadest.share > 0 && deadBytes > deadShareOfAll * totalBytes) {
      return startOf(deadest.number);
    }
    return small.length >= smallSegments ? startOf(small[0]!) : undefined;
  }
}

function startOf(number: number): Emptying {
  return { number, offset: segmentHeaderBytes };
}
