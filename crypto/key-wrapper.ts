import { type Cipheriv, createCipheriv, type KeyObject } from 'node:crypto';

const halfBytes = 8;
const blockBytes = 2 * halfBytes;
/** Halves of a key of 256 bits. */
const halves = 4;
const rounds = 6;
const initialByte = 0xa6;

/**
 * AES key wrap of many keys of 256 bits under one. Each step of it needs the one before, so that a key alone takes 24 calls of a
 * block; keys that are wrapped together go through them in lock-step, 24 calls for all, where node's own way makes a cipher for
 * each.
 * Source: RFC 3394, section 2.2.1.
 */
export class KeyWrapper {
  /** Without chaining and padding a cipher keeps nothing from one block to the next, and can be used for ever. */
  readonly #cipher: Cipheriv;

  constructor(wrapKey: KeyObject) {
    this.#cipher = createCipheriv('aes-256-ecb', wrapKey, null).setAutoPadding(false);
  }

  /**
   * @param keys of 32 bytes each
   * @param targets of 40 bytes each; the wrapped keys are written there
   */
  wrap(keys: readonly Uint8Array[], targets: readonly Uint8Array[]): void {
    const count = keys.length;
    /** For each key the value that goes from step to step, and beside it the half that the step is about. */
    const blocks = new Uint8Array(count * blockBytes).fill(initialByte);
    for (let key = 0; key < count; key++) targets[key]!.set(keys[key]!, halfBytes);
    for (let step = 0; step < rounds * halves; step++) {
      const half = halfBytes * (1 + (step % halves));
      for (let key = 0; key < count; key++) copy(targets[key]!, half, blocks, key * blockBytes + halfBytes);
      const coded = this.#cipher.update(blocks);
      for (let key = 0; key < count; key++) {
        const at = key * blockBytes;
        copy(coded, at, blocks, at);
        blocks[at + halfBytes - 1]! ^= step + 1;
        copy(coded, at + halfBytes, targets[key]!, half);
      }
    }
    for (let key = 0; key < count; key++) copy(blocks, key * blockBytes, targets[key]!, 0);
  }
}

/** Eight bytes: too few for `set`, which makes a view first. */
function copy(source: Uint8Array, from: number, target: Uint8Array, to: number): void {
  for (let at = 0; at < halfBytes; at++) target[to + at] = source[from + at]!;
}
