import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto';

const algorithm = 'aes-256-gcm';
const tagBytes = 16;
const cipherOptions = { authTagLength: tagBytes };
/** Each record has a key of its own, which seals nothing else. */
const nonce = new Uint8Array(12);
/** How much longer a record is once it is sealed. */
export const sealedRecordOverheadBytes = tagBytes;

/**
 * Seals a small record, such as a stripe's manifest.
 *
 * @param name must never name two different records under one key: it stands for the nonce
 * @returns the sealed record, `sealedRecordOverheadBytes` longer
 */
export function sealRecord(recordKey: KeyObject, name: string, plain: Uint8Array): Uint8Array {
  const cipher = createCipheriv(algorithm, keyOf(recordKey, name), nonce, cipherOptions);
  const sealed = cipher.update(plain);
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

/** @returns undefined unless this is the record of that name, whole and unchanged */
export function openRecord(recordKey: KeyObject, name: string, sealed: Uint8Array): Uint8Array | undefined {
  const plainBytes = sealed.length - tagBytes;
  if (plainBytes < 0) return undefined;
  const decipher = createDecipheriv(algorithm, keyOf(recordKey, name), nonce, cipherOptions);
  decipher.setAuthTag(sealed.subarray(plainBytes));
  const plain = decipher.update(sealed.subarray(0, plainBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain;
}

function keyOf(recordKey: KeyObject, name: string): KeyObject {
  return createSecretKey(createHmac('sha256', recordKey).update(name).digest());
}
