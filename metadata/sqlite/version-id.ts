import { randomFillSync } from 'node:crypto';
import type { VersionId } from '../../core/model.ts';

/** The version of a key that was written without versioning. */
export const nullVersionId: VersionId = 'null';

const idBytes = 24;
const seqBytes = 8;
const form = /^[\w-]{32}$/;

/**
 * A version id for the version numbered `seq`: 8 bytes of number and 16 random ones in base64url, 32 characters. To
 * clients it is opaque; the store finds the version from it in one seek.
 */
export function makeVersionId(seq: number): VersionId {
  const bytes = Buffer.allocUnsafe(idBytes);
  bytes.writeBigUInt64BE(BigInt(seq));
  randomFillSync(bytes, seqBytes);
  return bytes.toString('base64url');
}

/** The number in a version id; undefined when it cannot be one of ours. */
export function seqOfVersionId(id: VersionId): number | undefined {
  if (!form.test(id)) return undefined;
  const seq = Number(Buffer.from(id, 'base64url').readBigUInt64BE());
  return Number.isSafeInteger(seq) ? seq : undefined;
}
