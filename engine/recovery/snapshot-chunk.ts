import { decodeRecordStream, type RecordStream, RecordStreamEncoder } from './record-stream.ts';
import { type PackedLocation, packLocation, type SystemLocation, unpackLocation } from './system-location.ts';

/** What a chunk of a snapshot says beside its records. */
export interface ChunkHeader {
  /** Names the snapshot, see `SnapshotReference`. */
  readonly begin: number;
  /** From 0. */
  readonly index: number;
  /** The chunk before; the first has none. */
  readonly previous?: SystemLocation;
}

interface PackedHeader {
  readonly kind: 'snapshot';
  readonly formatVersion: number;
  readonly begin: number;
  readonly index: number;
  readonly previous: PackedLocation | null;
}

const formatVersion = 1;

/** What the name of a chunk says: that it is the last one is known only when it is complete. */
export interface ChunkName {
  readonly begin: number;
  readonly index: number;
  readonly isLast: boolean;
}

/** What the system object of a chunk is called. */
export function chunkName({ begin, index, isLast }: ChunkName): string {
  return `snapshot ${begin} ${index}${isLast ? ' last' : ''}`;
}

/** @returns undefined for what is not the name of a chunk */
export function parseChunkName(name: string): ChunkName | undefined {
  const match = /^snapshot (\d+) (\d+)( last)?$/.exec(name);
  if (!match) return undefined;
  return { begin: Number(match[1]), index: Number(match[2]), isLast: match[3] !== undefined };
}

/** The content of a chunk, to which records are to be added. */
export function beginChunk({ begin, index, previous }: ChunkHeader): RecordStreamEncoder {
  const packed: PackedHeader = {
    kind: 'snapshot',
    formatVersion,
    begin,
    index,
    previous: previous ? packLocation(previous) : null,
  };
  return new RecordStreamEncoder(packed);
}

/** @throws Error for what is no chunk of a format that this code knows */
export async function decodeChunk(content: Uint8Array): Promise<{ header: ChunkHeader; pages: RecordStream['pages'] }> {
  const { header, pages } = await decodeRecordStream(content);
  const packed = header as PackedHeader;
  if (packed.kind !== 'snapshot' || packed.formatVersion !== formatVersion)
    throw new Error('not a chunk of a snapshot');
  const { begin, index, previous } = packed;
  return { header: { begin, index, ...(previous && { previous: unpackLocation(previous) }) }, pages };
}
