import type { Stripe } from '../../../core/model.ts';
import { releaseWhole } from '../../../core/release-memory.ts';
import { storedBlockBytes } from '../../../erasure/geometry.ts';

/** One row of a stripe, gathered while its shards are read one after the other. */
export class RowSample {
  readonly row: number;
  readonly #stripe: Stripe;
  readonly #blocks: (Uint8Array | undefined)[];

  constructor(stripe: Stripe, row: number) {
    this.row = row;
    this.#stripe = stripe;
    const codedBytes = storedBlockBytes(stripe, 0, row);
    this.#blocks = Array.from({ length: stripe.k + stripe.m }, (_, index) =>
      storedBlockBytes(stripe, index, row) === 0 ? new Uint8Array(codedBytes) : undefined,
    );
  }

  /** Takes a copy of the block, if it is of this row. */
  take(index: number, row: number, block: Uint8Array): void {
    if (row !== this.row) return;
    const copy = new Uint8Array(storedBlockBytes(this.#stripe, 0, row));
    copy.set(block);
    this.#blocks[index] = copy;
  }

  /** All blocks, filled up with zeros to the length that is coded; undefined where some could not be read. */
  blocks(): readonly Uint8Array[] | undefined {
    const blocks = this.#blocks.filter((block) => block !== undefined);
    return blocks.length === this.#blocks.length ? blocks : undefined;
  }

  /** Gives the memory back; nobody may read the blocks any more. */
  release(): void {
    for (const block of this.#blocks.splice(0)) if (block !== undefined) releaseWhole(block);
  }
}
