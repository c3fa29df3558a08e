import { createCipheriv, createHmac } from 'node:crypto';

/**
 * What crypto/ does, once more and from the standards alone: block ciphers and HMAC are node's, all that is composed from
 * them is written out here. docs/encryption.md is the source for what is particular to Holdfast.
 */

/** AES key wrap, https://www.rfc-editor.org/rfc/rfc3394 section 2.2.1, over AES in single blocks. */
export function wrapByRfc3394(wrapKey: Uint8Array, plain: Uint8Array): Buffer {
  const n = plain.length / 8;
  let a = Buffer.alloc(8, 0xa6);
  const r = Array.from({ length: n }, (_, index) => Buffer.from(plain.subarray(index * 8, index * 8 + 8)));
  for (let j = 0; j < 6; j++) {
    for (let i = 0; i < n; i++) {
      const cipher = createCipheriv('aes-256-ecb', wrapKey, null).setAutoPadding(false);
      const block = cipher.update(Buffer.concat([a, r[i]!]));
      const counter = Buffer.alloc(8);
      counter.writeBigUInt64BE(BigInt(n * j + i + 1));
      a = Buffer.from(block.subarray(0, 8).map((byte, at) => byte ^ counter[at]!));
      r[i] = Buffer.from(block.subarray(8));
    }
  }
  return Buffer.concat([a, ...r]);
}

/** HKDF with SHA-256 and no salt, https://www.rfc-editor.org/rfc/rfc5869, for up to 32 bytes. */
export function deriveByRfc5869(key: Uint8Array, info: string): Buffer {
  const extracted = createHmac('sha256', Buffer.alloc(32)).update(key).digest();
  return createHmac('sha256', extracted).update(`${info}\x01`, 'latin1').digest();
}

/** AES-256-GCM: what was encrypted, and the tag behind it. */
export function sealByGcm(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** A sealed stream by its description: 64 KiB a package, its number in the nonce, a mark on the last. */
export function sealStream(key: Uint8Array, plain: Uint8Array): Buffer {
  const packages: Buffer[] = [];
  for (let at = 0, index = 0; at < plain.length; at += 65_536, index++) {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(index, 7);
    nonce[11] = at + 65_536 >= plain.length ? 1 : 0;
    packages.push(sealByGcm(key, nonce, plain.subarray(at, at + 65_536)));
  }
  return Buffer.concat(packages);
}

/** A record by its description: a key for each name, and a nonce of zeros. */
export function sealRecordByName(masterKey: Uint8Array, name: string, plain: Uint8Array): Buffer {
  const key = createHmac('sha256', deriveByRfc5869(masterKey, 'holdfast seal records')).update(name).digest();
  return sealByGcm(key, Buffer.alloc(12), plain);
}
