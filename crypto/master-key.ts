import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { type DataKey, dataKeyBytes } from './data-key.ts';
import { openRecord, sealRecord } from './sealed-record.ts';
import { Sealer, type SealerKeys } from './sealer.ts';

export const masterKeyBytes = 32;
/** Length of a wrapped data key. */
export const wrappedKeyBytes = dataKeyBytes + 8;

/** AES key wrap: https://www.rfc-editor.org/rfc/rfc3394. It needs no nonce, so any number of keys can be wrapped. */
const wrapAlgorithm = 'id-aes256-wrap';
const wrapInitialValue = Buffer.alloc(8, 0xa6);

/**
 * The key that opens everything. Providers never see it; the gateway is worth nothing without it. The keys that do the work are derived from it,
 * one for each purpose (HKDF, https://www.rfc-editor.org/rfc/rfc5869).
 */
export class MasterKey {
  /** Tells master keys apart, and tells nothing about the key: 16 hex digits. */
  readonly id: string;
  /** What seals packs, and the keys for a thread that is to do it. */
  readonly sealer: Sealer;
  readonly sealerKeys: SealerKeys;
  readonly #wrapKey: KeyObject;
  readonly #recordKey: KeyObject;
  /** Keys of versions that are kept in memory, for as long as these are: to unwrap one costs as much as to open 4 KiB. */
  readonly #unwrapped = new WeakMap<Uint8Array, DataKey>();

  /** @throws RangeError unless it is 32 bytes long */
  constructor(key: Uint8Array) {
    if (key.length !== masterKeyBytes) throw new RangeError(`a master key has ${masterKeyBytes} bytes`);
    this.id = derive(key, 'id').export().toString('hex', 0, 8);
    this.#wrapKey = derive(key, 'wrap data keys');
    this.#recordKey = derive(key, 'seal records');
    this.sealerKeys = { wrapKey: this.#wrapKey, recordKey: this.#recordKey };
    this.sealer = new Sealer(this.sealerKeys);
  }

  /** 40 bytes that say nothing without the master key. They belong to the caller. */
  wrap(dataKey: DataKey): Uint8Array {
    const cipher = createCipheriv(wrapAlgorithm, this.#wrapKey, wrapInitialValue);
    // A key wrap gives all of its output at once.
    return cipher.update(dataKey.export());
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

  /** As `sealRecord` of `sealed-record.ts`. */
  sealRecord(name: string, plain: Uint8Array): Uint8Array {
    return sealRecord(this.#recordKey, name, plain);
  }

  /** As `openRecord` of `sealed-record.ts`. */
  openRecord(name: string, sealed: Uint8Array): Uint8Array | undefined {
    return openRecord(this.#recordKey, name, sealed);
  }
}

function derive(key: Uint8Array, purpose: string): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync('sha256', key, '', `holdfast ${purpose}`, 32)));
}
