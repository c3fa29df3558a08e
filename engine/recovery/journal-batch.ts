import type { MetadataRecord } from '../../metadata/record-store.ts';
import { decodeRecordStream, type RecordStream, RecordStreamEncoder } from './record-stream.ts';
import { type PackedLocation, packLocation, type SystemLocation, unpackLocation } from './system-location.ts';

/** The snapshot on which a chain of batches rests. */
export interface SnapshotReference {
  /** Drawn before its first row was read: batches of higher numbers make it whole, and no others are needed. */
  readonly begin: number;
  /** Its last chunk, from which all others are found. */
  readonly last: SystemLocation;
}

/** What a batch of the journal says beside its records. */
export interface BatchHeader {
  /** Drawn just before the changes were read: numbers that were drawn later are higher. Orders the batches. */
  readonly sequence: number;
  /** Numbers drawn for writes that were under way at that moment, which may or may not be among the records. */
  readonly outstanding: readonly number[];
  readonly createdAtMs: number;
  /** Start of the oldest of these writes: shards of theirs may be as old. */
  readonly oldestWriteMs: number;
  /** Absent in the first batch of all. */
  readonly previous?: SystemLocation;
  /** Absent where the chain begins with an empty store. */
  readonly snapshot?: SnapshotReference;
}

interface PackedHeader {
  readonly kind: 'journal';
  readonly formatVersion: number;
  readonly sequence: number;
  readonly outstanding: readonly number[];
  readonly createdAtMs: number;
  readonly oldestWriteMs: number;
  readonly previous: PackedLocation | null;
  readonly snapshot: PackedSnapshot | null;
}

type PackedSnapshot = readonly [begin: number, last: PackedLocation];

const formatVersion = 1;
const namePrefix = 'journal ';

/** What the system object of a batch is called. */
export function batchName(sequence: number): string {
  return `${namePrefix}${sequence}`;
}

export function isBatchName(name: string): boolean {
  return name.startsWith(namePrefix);
}

export async function encodeBatch(header: BatchHeader, records: readonly MetadataRecord[]): Promise<Uint8Array> {
  const { sequence, outstanding, createdAtMs, oldestWriteMs, previous, snapshot } = header;
  const packed: PackedHeader = {
    kind: 'journal',
    formatVersion,
    sequence,
    outstanding,
    createdAtMs,
    oldestWriteMs,
    previous: previous ? packLocation(previous) : null,
    snapshot: snapshot ? packSnapshot(snapshot) : null,
  };
  const encoder = new RecordStreamEncoder(packed);
  await encoder.add(records);
  return encoder.finish();
}

/** @throws Error for what is no batch of a format that this code knows */
export async function decodeBatch(content: Uint8Array): Promise<{ header: BatchHeader; pages: RecordStream['pages'] }> {
  const { header, pages } = await decodeRecordStream(content);
  const packed = header as PackedHeader;
  if (packed.kind !== 'journal' || packed.formatVersion !== formatVersion)
    throw new Error('not a batch of the journal');
  const { sequence, outstanding, createdAtMs, oldestWriteMs, previous, snapshot } = packed;
  return {
    header: {
      sequence,
      outstanding,
      createdAtMs,
      oldestWriteMs,
      ...(previous && { previous: unpackLocation(previous) }),
      ...(snapshot && { snapshot: unpackSnapshot(snapshot) }),
    },
    pages,
  };
}

function packSnapshot({ begin, last }: SnapshotReference): PackedSnapshot {
  return [begin, packLocation(last)];
}

function unpackSnapshot([begin, last]: PackedSnapshot): SnapshotReference {
  return { begin, last: unpackLocation(last) };
}
