import { hash } from 'node:crypto';
import type { VersionId } from '../../core/model.ts';

/** The version of a key that was written without versioning. */
export const nullVersionId: VersionId = 'null';

const idBytes = 24;
const numberBytes = 8;
const form = /^[\w-]{32}$/;

/**
 * The id of the version that is numbered so: 8 bytes of number and 16 of a digest of it in base64url, 32 characters. To
 * clients it is opaque. It follows from the number alone, which the manifest of the version's stripe bears, so a version that
 * is recovered from its manifest has the id that its client was told.
 */
export function makeVersionId(number: number): VersionId {
  const bytes = Buffer.allocUnsafe(idBytes);
  bytes.writeBigUInt64BE(BigInt(number));
  hash('sha256', `holdfast version ${number}`, 'buffer').copy(bytes, numberBytes);
  return bytes.toString('base64url');
}

/** The number in a version id; undefined when it cannot be one of ours. */
export function numberOfVersionId(id: VersionId): number | undefined {
  if (!form.test(id)) return undefined;
  const number = Number(Buffer.from(id, 'base64url').readBigUInt64BE());
  return Number.isSafeInteger(number) ? number : undefined;
}
