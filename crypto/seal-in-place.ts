import { createCipheriv } from 'node:crypto';
import { copyBytes } from '../core/copy-bytes.ts';
import { releaseWhole } from '../core/release-memory.ts';
import type { DataKey } from './data-key.ts';
import {
  algorithm,
  cipherOptions,
  packageBytes,
  packageCount,
  packageNonce,
  sealedPackageBytes,
  tagBytes,
} from './sealed-stream.ts';

/**
 * Sealing where the bytes lie: whoever gathers a stream puts its plain bytes where the sealed ones will be, with room for each tag, and
 * pieces of it are sealed by themselves, in any order and by anybody. What comes out is what `StreamSealer` makes.
 */

/** A piece of a sealed stream, of which the plain bytes are at hand. */
export interface StreamPiece {
  readonly dataKey: DataKey;
  /** Plain bytes of the whole stream. */
  readonly streamBytes: number;
  /** Where in the sealed stream the piece begins. */
  readonly from: number;
  /** The plain bytes before it of the package that it begins in the middle of. */
  readonly lead: Uint8Array;
}

/** What comes at a place of a sealed stream: so many plain bytes, or room for so many bytes of a tag; nothing at its end. */
export function layOutAt(streamBytes: number, place: number): { readonly plain: number; readonly gap: number } {
  const index = Math.floor(place / sealedPackageBytes);
  if (index >= packageCount(streamBytes)) return { plain: 0, gap: 0 };
  const within = place - index * sealedPackageBytes;
  const bytes = Math.min(streamBytes - index * packageBytes, packageBytes);
  if (within < bytes) return { plain: bytes - within, gap: 0 };
  return { plain: 0, gap: Math.max(bytes + tagBytes - within, 0) };
}

/** The plain bytes that who seals what follows on `piece` needs: those of the package that it ends in the middle of. To be asked before it is sealed. */
export function leadOfNext({ streamBytes, from, lead }: StreamPiece, bytes: Uint8Array): Uint8Array {
  const end = from + bytes.length;
  const index = Math.floor(end / sealedPackageBytes);
  const start = index * sealedPackageBytes;
  if (index >= packageCount(streamBytes) || start === end) return new Uint8Array(0);
  const plainEnd = start + Math.min(streamBytes - index * packageBytes, packageBytes);
  const held = bytes.subarray(Math.max(start - from, 0), Math.max(Math.min(plainEnd, end) - from, 0));
  const before = start < from ? lead : new Uint8Array(0);
  const next = new Uint8Array(before.length + held.length);
  next.set(before);
  next.set(held, before.length);
  return next;
}

/** @param bytes the piece's plain bytes with room for tags, as `layOutAt` says; sealed afterwards */
export function sealInPlace(piece: StreamPiece, bytes: Buffer): void {
  const { dataKey, streamBytes, from, lead } = piece;
  const end = from + bytes.length;
  const count = packageCount(streamBytes);
  for (let index = Math.floor(from / sealedPackageBytes); index * sealedPackageBytes < end; index++) {
    if (index >= count) throw new RangeError('a piece lies behind the end of its stream');
    const isLast = index === count - 1;
    const start = index * sealedPackageBytes;
    const plainEnd = start + (isLast ? streamBytes - index * packageBytes : packageBytes);
    const cipher = createCipheriv(algorithm, dataKey, packageNonce(index, isLast), cipherOptions);
    if (start < from) releaseWhole(cipher.update(lead));
    const held = bytes.subarray(Math.max(start - from, 0), Math.max(Math.min(plainEnd, end) - from, 0));
    if (held.length > 0) {
      const sealed = cipher.update(held);
      copyBytes(bytes, sealed, held.byteOffset - bytes.byteOffset);
      releaseWhole(sealed);
    }
    if (plainEnd >= end) return;
    cipher.final();
    const tagFrom = Math.max(plainEnd, from);
    const tagEnd = Math.min(plainEnd + tagBytes, end);
    bytes.set(cipher.getAuthTag().subarray(tagFrom - plainEnd, tagEnd - plainEnd), tagFrom - from);
  }
}
