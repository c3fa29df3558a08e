import { copyBytes } from '../../core/copy-bytes.ts';
import { drawDataKey } from '../../crypto/data-key.ts';
import { wrappedKeyBytes } from '../../crypto/master-key.ts';
import type { Md5Batch, Md5Message } from '../../crypto/md5/md5-batch.ts';
import { sealInPlace } from '../../crypto/seal-in-place.ts';
import { packageBytes, sealedBytes, sealedPackageBytes } from '../../crypto/sealed-stream.ts';
import type { Sealer } from '../../crypto/sealer.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { codeRow, type RowJob } from './code-row.ts';

/** An object as it lies in a pack's memory before that is coded: plain, with room for its tags. */
export interface FreshBytes {
  readonly at: number;
  readonly plainBytes: number;
  /** Where in the manifest its MD5 goes, in hex, if one is wanted. */
  readonly md5At: number | undefined;
  /** Where in the manifest its wrapped key goes, in base64. */
  readonly keyAt: number;
}

/** A pack as it lies in memory: a row with fresh objects in it, whose manifest is plain too and has room for its tag behind it. */
export interface PackJob extends Omit<RowJob, 'piece'> {
  readonly fresh: readonly FreshBytes[];
  readonly manifest: { readonly recordName: string; readonly at: number; readonly plainBytes: number };
}

/** What came of a pack. */
export interface CodedPack {
  /** Of each block; empty for one that is not stored. */
  readonly digests: readonly Uint8Array[];
  /** Of each fresh object, one after the other. */
  readonly wrappedKeys: Uint8Array;
  /** Of each fresh object, in hex; undefined where none was wanted. */
  readonly md5s: readonly (string | undefined)[];
}

export interface PackTools {
  readonly codec: ErasureCodec;
  readonly sealer: Sealer;
  readonly md5: Md5Batch;
}

/** So many objects are done between two moments at which somebody else may have the processor: a few tenths of a millisecond. */
const groupObjects = 8;

/**
 * All that a pack needs before it is sent: fresh objects are hashed, sealed where they lie, each with a key of its own, and what the manifest
 * says of that is written into it; it is sealed itself, parity is computed, and stored blocks are digested.
 *
 * A generator, so that who has more to do than this can do it in between; nobody else may touch the memory.
 */
export function* codePack({ codec, sealer, md5 }: PackTools, job: PackJob): Generator<undefined, CodedPack, undefined> {
  const { fresh, manifest } = job;
  const memory = Buffer.from(job.memory);
  const wrappedKeys = new Uint8Array(fresh.length * wrappedKeyBytes);
  const md5s = new Array<string | undefined>(fresh.length).fill(undefined);
  for (let from = 0; from < fresh.length; from += groupObjects) {
    const to = Math.min(from + groupObjects, fresh.length);
    hashGroup(md5, memory, fresh, [from, to], md5s);
    const keys: Uint8Array[] = [];
    const targets: Uint8Array[] = [];
    for (let index = from; index < to; index++) {
      const { at, plainBytes } = fresh[index]!;
      const { dataKey, bytes } = drawDataKey();
      const piece = { dataKey, streamBytes: plainBytes, from: 0, lead: new Uint8Array(0) };
      sealInPlace(piece, memory.subarray(at, at + sealedBytes(plainBytes)));
      keys.push(bytes);
      targets.push(wrappedKeys.subarray(index * wrappedKeyBytes, (index + 1) * wrappedKeyBytes));
    }
    sealer.wrapAll(keys, targets);
    for (const key of keys) key.fill(0);
    for (let index = from; index < to; index++) {
      const { md5At, keyAt } = fresh[index]!;
      const key = Buffer.from(wrappedKeys.buffer, index * wrappedKeyBytes, wrappedKeyBytes).toString('base64');
      memory.write(key, keyAt, 'latin1');
      if (md5At !== undefined) memory.write(md5s[index]!, md5At, 'latin1');
    }
    if (to < fresh.length) yield;
  }
  const plain = memory.subarray(manifest.at, manifest.at + manifest.plainBytes);
  copyBytes(memory, sealer.sealRecord(manifest.recordName, plain), manifest.at);
  return { digests: codeRow(codec, { ...job, piece: undefined }), wrappedKeys, md5s };
}

function hashGroup(
  md5: Md5Batch,
  memory: Buffer,
  fresh: readonly FreshBytes[],
  [from, to]: readonly [number, number],
  md5s: (string | undefined)[],
): void {
  const wanted: number[] = [];
  for (let index = from; index < to; index++) if (fresh[index]!.md5At !== undefined) wanted.push(index);
  const digests = md5.hash(wanted.map((index) => plainPieces(memory, fresh[index]!)));
  for (const [at, index] of wanted.entries()) md5s[index] = digests[at];
}

/** The plain bytes of an object: one piece for each of its packages. */
function plainPieces(memory: Buffer, { at, plainBytes }: FreshBytes): Md5Message {
  const pieces: Uint8Array[] = [];
  for (let done = 0, from = at; done < plainBytes; done += packageBytes, from += sealedPackageBytes) {
    pieces.push(memory.subarray(from, from + Math.min(packageBytes, plainBytes - done)));
  }
  return pieces;
}
