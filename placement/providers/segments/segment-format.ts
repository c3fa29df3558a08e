import { crc32 } from '@node-rs/crc32';
import { cidDigestBytes } from '../../../core/cid-digest.ts';

/**
 * The bytes of a segment file: a header, then records one after the other. docs/segment-format.md has the byte-offset
 * tables and the reasons. Pure: whoever calls does the I/O.
 */

export const segmentHeaderBytes = 64;
export const recordHeaderBytes = 64;
/** No record is longer: one that claims to be is damage. */
export const maxRecordBytes = 64 * 2 ** 20;

const formatVersion = 1;
const segmentMagic = Buffer.from('hf-segmt', 'ascii');
export const recordMagic = Buffer.from('hfsr', 'ascii');
const kindShard = 1;
const kindTombstone = 2;
const lengthOffset = 12;
const bytesCrcOffset = 56;
const headerCrcOffset = 60;
/** In the place of the header's CRC while that of the bytes is to be computed. */
const bytesCrcUnknown = 1;

/** Which segment a file is. The salt is drawn by chance; a record of another segment is none in this one. */
export interface SegmentIdentity {
  readonly number: number;
  readonly salt: number;
}

/** A record's place: the segment, and where in it its header starts. */
export interface RecordPlace {
  readonly segment: number;
  readonly offset: number;
}

export function isSamePlace(a: RecordPlace, b: RecordPlace): boolean {
  return a.segment === b.segment && a.offset === b.offset;
}

/** A shard's bytes follow the header; a tombstone has none. */
export type SegmentRecord =
  | {
      readonly kind: 'shard';
      readonly digest: Buffer;
      /** Bytes of the shard. */
      readonly length: number;
      readonly committedAtMs: number;
      /** CRC32 of the shard's bytes. */
      readonly bytesCrc: number;
    }
  | {
      readonly kind: 'tombstone';
      readonly digest: Buffer;
      /** The record of the shard that is deleted, and no other of the same name. */
      readonly target: RecordPlace;
      readonly committedAtMs: number;
    };

/** Length of a record that holds a shard of so many bytes. */
export function recordBytes(shardBytes: number): number {
  return recordHeaderBytes + shardBytes;
}

/** The buffer belongs to the caller. */
export function encodeSegmentHeader({ number, salt }: SegmentIdentity): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes);
  segmentMagic.copy(header, 0);
  header.writeUInt16BE(formatVersion, 8);
  header.writeUInt32BE(salt, 12);
  header.writeUInt32BE(number, 16);
  header.writeUInt32BE(crc32(header.subarray(0, headerCrcOffset)), headerCrcOffset);
  return header;
}

/** @returns undefined unless these are exactly the bytes of a header of a version that this code knows */
export function parseSegmentHeader(bytes: Uint8Array): SegmentIdentity | undefined {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.length !== segmentHeaderBytes || !header.subarray(0, 8).equals(segmentMagic)) return undefined;
  const identity = { salt: header.readUInt32BE(12), number: header.readUInt32BE(16) };
  // An identity has one encoding: this also refuses other versions and reserved bytes that are not zero.
  return header.equals(encodeSegmentHeader(identity)) ? identity : undefined;
}

/** What is to be written of a record; the CRC of a shard's bytes may be left to `completeRecords`. */
export type RecordToWrite =
  | Exclude<SegmentRecord, { kind: 'shard' }>
  | (Omit<Extract<SegmentRecord, { kind: 'shard' }>, 'bytesCrc'> & { readonly bytesCrc: number | undefined });

/** Writes a record's header into `target` at `offset`, but for its CRC and magic: no reader takes it for one before `completeRecords`. */
export function beginRecordHeader(target: Buffer, offset: number, record: RecordToWrite): void {
  const knowsBytesCrc = record.kind === 'tombstone' || record.bytesCrc !== undefined;
  target.fill(0, offset, offset + recordMagic.length);
  target[offset + 4] = formatVersion;
  target[offset + 5] = record.kind === 'shard' ? kindShard : kindTombstone;
  target.writeUIntBE(record.committedAtMs, offset + 6, 6);
  target.writeUInt32BE(record.kind === 'shard' ? record.length : 0, offset + lengthOffset);
  target.writeUInt32BE(record.kind === 'shard' ? 0 : record.target.segment, offset + 16);
  target.writeUInt32BE(record.kind === 'shard' ? 0 : record.target.offset, offset + 20);
  target.set(record.digest, offset + 24);
  target.writeUInt32BE(record.kind === 'shard' ? (record.bytesCrc ?? 0) : 0, offset + bytesCrcOffset);
  target.writeUInt32BE(knowsBytesCrc ? 0 : bytesCrcUnknown, offset + headerCrcOffset);
}

/**
 * Completes records that lie one after the other, of which `beginRecordHeader` wrote the headers: with the CRCs, which take as long as
 * all else about a shard, and are therefore left to whoever writes the bytes. Records that are complete stay as they are.
 */
export function completeRecords(records: Buffer, salt: number): void {
  for (let offset = 0; offset < records.length; ) {
    const start = offset + recordHeaderBytes;
    const end = start + records.readUInt32BE(offset + lengthOffset);
    if (!recordMagic.equals(records.subarray(offset, offset + recordMagic.length))) {
      if (records.readUInt32BE(offset + headerCrcOffset) === bytesCrcUnknown) {
        records.writeUInt32BE(crc32(records.subarray(start, end)), offset + bytesCrcOffset);
      }
      recordMagic.copy(records, offset);
      const crc = crc32(records.subarray(offset, offset + headerCrcOffset), salt);
      records.writeUInt32BE(crc, offset + headerCrcOffset);
    }
    offset = end;
  }
}

/** @returns undefined unless `header` is one of a record of the segment with this salt. The digest is a copy. */
export function parseRecordHeader(header: Buffer, salt: number): SegmentRecord | undefined {
  if (header.length !== recordHeaderBytes || !header.subarray(0, 4).equals(recordMagic)) return undefined;
  if (crc32(header.subarray(0, headerCrcOffset), salt) !== header.readUInt32BE(headerCrcOffset)) return undefined;
  if (header[4] !== formatVersion) return undefined;
  const digest = Buffer.from(header.subarray(24, 24 + cidDigestBytes));
  const committedAtMs = header.readUIntBE(6, 6);
  const length = header.readUInt32BE(lengthOffset);
  if (header[5] === kindShard && recordBytes(length) <= maxRecordBytes) {
    return { kind: 'shard', digest, length, committedAtMs, bytesCrc: header.readUInt32BE(bytesCrcOffset) };
  }
  if (header[5] !== kindTombstone || length !== 0) return undefined;
  const target = { segment: header.readUInt32BE(16), offset: header.readUInt32BE(20) };
  return { kind: 'tombstone', digest, target, committedAtMs };
}

/** The name of a segment's file. */
export function segmentFileName(number: number): string {
  return `${String(number).padStart(10, '0')}.seg`;
}

/** @returns undefined for a file that is no segment */
export function parseSegmentFileName(name: string): number | undefined {
  return /^\d{10}\.seg$/.test(name) ? Number(name.slice(0, 10)) : undefined;
}
