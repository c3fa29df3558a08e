import { randomBytes } from 'node:crypto';
import type { MasterKey } from '../../crypto/master-key.ts';
import { maxRootBytes } from '../../placement/providers/provider.ts';
import { type PackedLocation, packLocation, type SystemLocation, unpackLocation } from './system-location.ts';

/** Where the metadata lie: what every provider keeps a copy of. */
export interface Root {
  /** Rises with each root that is written; the highest counts. */
  readonly sequence: number;
  readonly writtenAtMs: number;
  /** The newest batch of the journal. It leads to all others, and to the snapshot that they rest on. */
  readonly batch: SystemLocation;
}

interface PackedRoot {
  readonly sequence: number;
  readonly writtenAtMs: number;
  readonly batch: PackedLocation;
}

/**
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 8 | `hf-root` and a zero |
 * | 8 | 2 | format version, big endian |
 * | 10 | 6 | zeros |
 * | 16 | 8 | the master key's id |
 * | 24 | 16 | random: names this record for its seal |
 * | 40 | | the sealed record: JSON |
 */
const magic = Buffer.from('hf-root\0', 'latin1');
const formatVersion = 1;
const keyIdOffset = 16;
const nonceOffset = 24;
const prefixBytes = 40;

/** @throws RangeError when it is longer than a provider takes. The buffer belongs to the caller. */
export function sealRoot(masterKey: MasterKey, root: Root): Uint8Array {
  const { sequence, writtenAtMs, batch } = root;
  const packed: PackedRoot = { sequence, writtenAtMs, batch: packLocation(batch) };
  const prefix = Buffer.alloc(prefixBytes);
  magic.copy(prefix);
  prefix.writeUInt16BE(formatVersion, 8);
  prefix.write(masterKey.id, keyIdOffset, 'hex');
  randomBytes(prefixBytes - nonceOffset).copy(prefix, nonceOffset);
  const sealed = masterKey.sealRecord(recordName(prefix), Buffer.from(JSON.stringify(packed)));
  const bytes = Buffer.concat([prefix, sealed]);
  if (bytes.length > maxRootBytes) throw new RangeError(`a root of ${bytes.length} bytes`);
  return bytes;
}

/** What became of opening a root. */
export type OpenedRoot =
  | { readonly kind: 'root'; readonly root: Root }
  /** It was sealed with another master key, of this id. */
  | { readonly kind: 'other-key'; readonly masterKeyId: string }
  | { readonly kind: 'damaged' };

export function openRoot(masterKey: MasterKey, bytes: Uint8Array): OpenedRoot {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOurs = buffer.length > prefixBytes && buffer.subarray(0, magic.length).equals(magic);
  if (!isOurs || buffer.readUInt16BE(8) !== formatVersion) return { kind: 'damaged' };
  const prefix = buffer.subarray(0, prefixBytes);
  const masterKeyId = prefix.toString('hex', keyIdOffset, nonceOffset);
  if (masterKeyId !== masterKey.id) return { kind: 'other-key', masterKeyId };
  const plain = masterKey.openRecord(recordName(prefix), buffer.subarray(prefixBytes));
  if (plain === undefined) return { kind: 'damaged' };
  const { sequence, writtenAtMs, batch } = JSON.parse(Buffer.from(plain).toString()) as PackedRoot;
  return { kind: 'root', root: { sequence, writtenAtMs, batch: unpackLocation(batch) } };
}

/** The whole clear prefix is bound to the record. */
function recordName(prefix: Buffer): string {
  return `root ${prefix.toString('hex')}`;
}
