import type { KeyObject } from 'node:crypto';
import { KeyWrapper } from './key-wrapper.ts';
import { sealRecord } from './sealed-record.ts';

/** The keys that seal, derived from the master key and worth as much as it is. Threads of this process can be given them. */
export interface SealerKeys {
  readonly wrapKey: KeyObject;
  readonly recordKey: KeyObject;
}

/** Seals what packs are made of beside their bytes: data keys, and manifests. */
export class Sealer {
  readonly #wrapper: KeyWrapper;
  readonly #recordKey: KeyObject;

  constructor({ wrapKey, recordKey }: SealerKeys) {
    this.#wrapper = new KeyWrapper(wrapKey);
    this.#recordKey = recordKey;
  }

  /**
   * Wraps data keys all together, which costs each of many a fraction of what it costs one.
   *
   * @param keys their bytes
   * @param targets room of `wrappedKeyBytes` for each
   */
  wrapAll(keys: readonly Uint8Array[], targets: readonly Uint8Array[]): void {
    this.#wrapper.wrap(keys, targets);
  }

  /** As `sealRecord` of `sealed-record.ts`. */
  sealRecord(name: string, plain: Uint8Array): Uint8Array {
    return sealRecord(this.#recordKey, name, plain);
  }
}
