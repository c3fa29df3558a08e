import { randomBytes } from 'node:crypto';
import { readdir, rename, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cidOfDigest } from '../../../core/cid-digest.ts';
import { type Clock, systemClock } from '../../../core/clock.ts';
import type { ProviderId } from '../../../core/model.ts';
import {
  closeFile,
  ensureFolder,
  openFile,
  readUpTo,
  sizeOfFile,
  syncFile,
  syncFolder,
  truncateFile,
} from '../durable-files.ts';
import { IndexCheckpoint } from './index-checkpoint.ts';
import { IndexDatabase, type IndexPosition, isIndexDamage } from './index-database.ts';
import { type ScannedRecord, scanSegment } from './scan-segment.ts';
import type { SegmentAppender } from './segment-appender.ts';
import { SegmentFiles } from './segment-files.ts';
import {
  isSamePlace,
  parseSegmentFileName,
  parseSegmentHeader,
  segmentFileName,
  segmentHeaderBytes,
} from './segment-format.ts';
import { SegmentIndex } from './segment-index.ts';
import { SegmentReclaimer } from './segment-reclaimer.ts';
import { SegmentStore } from './segment-store.ts';
import { SegmentWriter } from './segment-writer.ts';

const folderName = 'segments';
const indexName = 'index.sqlite';
const defaultSegmentBytes = 64 * 2 ** 20;
const defaultMaxOpenFiles = 32;

export interface SegmentOptions {
  readonly providerId: ProviderId;
  /** The provider's directory, which is there. */
  readonly path: string;
  /** Throws when the directory is not the provider's any more. */
  readonly checkDirectory: () => Promise<void>;
  /** Appends to them, and finds with each write that the directory is there still. */
  readonly appender: SegmentAppender;
  readonly clock?: Clock | undefined;
  /** A segment takes no record more once it is about that long; at most 1 GiB. */
  readonly segmentBytes?: number | undefined;
  /** How many segments are kept open for reading. */
  readonly maxOpenFiles?: number | undefined;
}

/**
 * Opens the segments of a provider's directory. Reads only what the index does not know yet: all of them where there is no
 * index, or one that does not fit.
 */
export async function openSegmentStore(options: SegmentOptions): Promise<SegmentStore> {
  const { providerId, path, checkDirectory, segmentBytes = defaultSegmentBytes } = options;
  const folder = join(path, folderName);
  await ensureFolder(folder);
  await syncFolder(path);
  const numbers = await listSegments(folder);
  const index = await openIndex(join(path, indexName), folder, numbers);
  try {
    const kept = await readWhatIsNew(index, folder, numbers);
    for (const number of [...index.tally.numbers]) if (!kept.has(number)) dropLostSegment(index, number);
    const files = new SegmentFiles({ folder, maxOpen: options.maxOpenFiles ?? defaultMaxOpenFiles });
    const writer = new SegmentWriter({
      folder,
      nextNumber: 1 + Math.max(0, index.savedPosition.segment, ...numbers.slice(-1)),
      segmentBytes,
      appender: options.appender,
      prepareFolder: async () => {
        await checkDirectory();
        await ensureFolder(folder);
        await syncFolder(path);
      },
      onSegment: (number) => index.tally.ensure(number),
    });
    const parts = { folder, segmentBytes, index, files, writer, checkFolder: checkDirectory };
    const reclaimer = new SegmentReclaimer(parts);
    return new SegmentStore({ ...parts, providerId, clock: options.clock ?? systemClock, reclaimer });
  } catch (error) {
    await index.close();
    throw error;
  }
}

async function listSegments(folder: string): Promise<number[]> {
  const numbers = (await readdir(folder)).map(parseSegmentFileName).filter((number) => number !== undefined);
  return numbers.sort((a, b) => a - b);
}

/** Opens the index, or makes a new one where it is missing, damaged, or not the one of these segments. */
async function openIndex(path: string, folder: string, numbers: readonly number[]): Promise<SegmentIndex> {
  const owner = randomBytes(4).readUInt32BE();
  const open = () => {
    const database = new IndexDatabase({ path, owner });
    return new SegmentIndex({ database, checkpoint: new IndexCheckpoint({ path }) });
  };
  try {
    const index = open();
    if (await fitsSegments(index, folder, numbers)) return index;
    await index.close();
  } catch (error) {
    if (!isIndexDamage(error)) throw error;
  }
  for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
  return open();
}

/** Whether the index is an older or the newest state of these very segments. */
async function fitsSegments(index: SegmentIndex, folder: string, numbers: readonly number[]): Promise<boolean> {
  const { segment, salt } = index.savedPosition;
  if (numbers.some((number) => number < segment && index.tally.find(number) === undefined)) return false;
  if (segment === 0) return true;
  if (!numbers.includes(segment)) return (numbers.at(-1) ?? 0) > segment;
  const identity = await withFile(folder, segment, 'r', readIdentity);
  return identity?.salt === salt && identity.number === segment;
}

/** Tells the index of all records that it does not know. Resolves to the segments that are there. */
async function readWhatIsNew(index: SegmentIndex, folder: string, numbers: readonly number[]): Promise<Set<number>> {
  const known = index.savedPosition;
  const kept = new Set(numbers);
  for (const number of numbers) {
    if (number < known.segment) continue;
    const from = number === known.segment ? known.offset : segmentHeaderBytes;
    if (!(await readSegment(index, folder, number, from))) kept.delete(number);
  }
  index.saveNow();
  return kept;
}

/** Reads a segment from `from` on, and cuts it where its last whole record ends. Resolves to whether it is one. */
async function readSegment(index: SegmentIndex, folder: string, number: number, from: number): Promise<boolean> {
  const last = await withFile(folder, number, 'r+', async (fd) => {
    const identity = await readIdentity(fd);
    if (identity?.number !== number) return undefined;
    const { salt } = identity;
    const size = await sizeOfFile(fd);
    let end = from;
    index.tally.ensure(number);
    for await (const scanned of scanSegment({ fd, salt, from, end: size })) {
      end = scanned.end;
      recordScanned(index, { segment: number, offset: end, salt }, scanned);
    }
    if (size > end) {
      await truncateFile(fd, end);
      await syncFile(fd);
    }
    return end;
  });
  if (last !== undefined && last > segmentHeaderBytes) return true;
  await discardFile(folder, number, last === undefined);
  index.tally.drop(number);
  return false;
}

/** A file without records was made just before a crash. One without a header is kept aside if there is anything in it. */
async function discardFile(folder: string, number: number, isDamaged: boolean): Promise<void> {
  const path = join(folder, segmentFileName(number));
  const isBlank = await withFile(folder, number, 'r', async (fd) => {
    const start = await readUpTo(fd, segmentHeaderBytes, 4096);
    return start.every((byte) => byte === 0);
  });
  if (isDamaged && !isBlank) await rename(path, `${path}.damaged`);
  else await unlink(path);
}

function recordScanned(index: SegmentIndex, end: IndexPosition, { record, offset }: ScannedRecord): void {
  const { digest, committedAtMs } = record;
  const cid = cidOfDigest(digest);
  const place = { segment: end.segment, offset };
  const previous = index.find(cid, digest);
  if (record.kind === 'shard') {
    const entry = { ...place, length: record.length, committedAtMs };
    index.record({ cid, digest, tally: { kind: 'store', entry, previous }, end });
  } else if (previous !== undefined && isSamePlace(previous, record.target)) {
    index.record({ cid, digest, tally: { kind: 'delete', place, previous }, end });
  } else {
    index.record({ cid, digest, tally: { kind: 'carry', place, target: record.target }, end });
  }
}

/** A segment that the index knows is not there: reclaim has unlinked it, or it was lost. */
function dropLostSegment(index: SegmentIndex, number: number): void {
  if (index.tally.find(number)!.liveBytes > 0) {
    for (const { digest, entry } of index.listSegment(number)) {
      index.record({ cid: cidOfDigest(digest), digest, tally: { kind: 'lose', previous: entry } });
    }
  }
  index.forgetSegment(number);
}

async function readIdentity(fd: number): Promise<ReturnType<typeof parseSegmentHeader>> {
  return parseSegmentHeader(await readUpTo(fd, 0, segmentHeaderBytes));
}

async function withFile<T>(
  folder: string,
  number: number,
  flags: string,
  work: (fd: number) => Promise<T>,
): Promise<T> {
  const fd = await openFile(join(folder, segmentFileName(number)), flags);
  try {
    return await work(fd);
  } finally {
    closeFile(fd);
  }
}
