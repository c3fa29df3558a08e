import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { type DataKey, dataKeyBytes } from './data-key.ts';
import { KeyWrapper } from './key-wrapper.ts';

export const masterKeyBytes = 32;
/** Length of a wrapped data key. */
export const wrappedKeyBytes = dataKeyBytes + 8;

/** A data key that is wrapped later, along with others. */
export interface PendingKey {
  /** Overwritten once it is wrapped. */
  readonly bytes: Uint8Array;
  /** Room for the wrapped key, `wrappedKeyBytes` long. */
  readonly wrapped: Uint8Array;
  isWrapped: boolean;
}

/** AES key wrap: https://www.rfc-editor.org/rfc/rfc3394. It needs no nonce, so any number of keys can be wrapped. */
const wrapAlgorithm = 'id-aes256-wrap';
const wrapInitialValue = Buffer.alloc(8, 0xa6);
const recordAlgorithm = 'aes-256-gcm';
const recordTagBytes = 16;
const recordOptions = { authTagLength: recordTagBytes };
/** Each record has a key of its own, which seals nothing else. */
const recordNonce = new Uint8Array(12);

/**
 * The key that opens everything. Providers never see it; the gateway is worth nothing without it. The keys that do the work are derived from it,
 * one for each purpose (HKDF, https://www.rfc-editor.org/rfc/rfc5869).
 */
export class MasterKey {
  /** Tells master keys apart, and tells nothing about the key: 16 hex digits. */
  readonly id: string;
  readonly #wrapKey: KeyObject;
  readonly #wrapper: KeyWrapper;
  readonly #recordKey: KeyObject;
  /** Keys of versions that are kept in memory, for as long as these are: to unwrap one costs as much as to open 4 KiB. */
  readonly #unwrapped = new WeakMap<Uint8Array, DataKey>();

  /** @throws RangeError unless it is 32 bytes long */
  constructor(key: Uint8Array) {
    if (key.length !== masterKeyBytes) throw new RangeError(`a master key has ${masterKeyBytes} bytes`);
    this.id = derive(key, 'id').export().toString('hex', 0, 8);
    this.#wrapKey = derive(key, 'wrap data keys');
    this.#wrapper = new KeyWrapper(this.#wrapKey);
    this.#recordKey = derive(key, 'seal records');
  }

  /** 40 bytes that say nothing without the master key. They belong to the caller. */
  wrap(dataKey: DataKey): Uint8Array {
    const cipher = createCipheriv(wrapAlgorithm, this.#wrapKey, wrapInitialValue);
    // A key wrap gives all of its output at once.
    return cipher.update(dataKey.export());
  }

  /**
   * Wraps keys that were just drawn, all together, which costs each of many a fraction, and overwrites their bytes. A key that was
   * wrapped before is passed over.
   */
  wrapAll(keys: readonly PendingKey[]): void {
    const pending = keys.filter((key) => !key.isWrapped);
    if (pending.length === 0) return;
    this.#wrapper.wrap(
      pending.map(({ bytes }) => bytes),
      pending.map(({ wrapped }) => wrapped),
    );
    for (const key of pending) {
      key.bytes.fill(0);
      key.isWrapped = true;
    }
  }

  /**
   * A buffer that is passed again gives its key at once, so it must not change after the first time.
   *
   * @returns undefined for what this master key did not wrap
   */
  unwrap(wrapped: Uint8Array): DataKey | undefined {
    const known = this.#unwrapped.get(wrapped);
    if (known !== undefined) return known;
    const dataKey = this.#unwrap(wrapped);
    if (dataKey !== undefined) this.#unwrapped.set(wrapped, dataKey);
    return dataKey;
  }

  #unwrap(wrapped: Uint8Array): DataKey | undefined {
    if (wrapped.length !== wrappedKeyBytes) return undefined;
    try {
      return createSecretKey(createDecipheriv(wrapAlgorithm, this.#wrapKey, wrapInitialValue).update(wrapped));
    } catch {
      return undefined;
    }
  }

  /**
   * Seals a small record, such as a stripe's manifest.
   *
   * @param name must never name two different records: it stands for the nonce
   * @returns the sealed record, `recordTagBytes` longer
   */
  sealRecord(name: string, plain: Uint8Array): Uint8Array {
    const cipher = createCipheriv(recordAlgorithm, this.#keyOfRecord(name), recordNonce, recordOptions);
    const sealed = cipher.update(plain);
    cipher.final();
    return Buffer.concat([sealed, cipher.getAuthTag()]);
  }

  /** @returns undefined unless this is the record of that name, whole and unchanged */
  openRecord(name: string, sealed: Uint8Array): Uint8Array | undefined {
    const plainBytes = sealed.length - recordTagBytes;
    if (plainBytes < 0) return undefined;
    const decipher = createDecipheriv(recordAlgorithm, this.#keyOfRecord(name), recordNonce, recordOptions);
    decipher.setAuthTag(sealed.subarray(plainBytes));
    const plain = decipher.update(sealed.subarray(0, plainBytes));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  }

  #keyOfRecord(name: string): KeyObject {
    return createSecretKey(createHmac('sha256', this.#recordKey).update(name).digest());
  }
}

/** How much longer a record is once it is sealed. */
export const sealedRecordOverheadBytes = recordTagBytes;

function derive(key: Uint8Array, purpose: string): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync('sha256', key, '', `holdfast ${purpose}`, 32)));
}
