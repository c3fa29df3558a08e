import type { BucketTable } from './bucket-table.ts';
import type { ChangeLog } from './change-log.ts';
import type { LeftoverTally } from './leftover-tally.ts';
import type { NameTable } from './name-table.ts';
import type { PlacementTable } from './placement-table.ts';
import type { StripeReferences } from './stripe-references.ts';
import type { StripeTable } from './stripe-table.ts';
import type { Tally } from './tally.ts';
import type { BatchState } from './write-queue.ts';

/** All that the store keeps in memory of its database. */
export class StoreState implements BatchState {
  readonly #names: NameTable;
  readonly #tally: Tally;
  readonly #changes: ChangeLog;
  readonly #buckets: BucketTable;
  readonly #references: StripeReferences;
  readonly #stripes: StripeTable;
  readonly #placements: PlacementTable;
  readonly #leftovers: LeftoverTally;

  constructor(parts: {
    names: NameTable;
    tally: Tally;
    changes: ChangeLog;
    buckets: BucketTable;
    references: StripeReferences;
    stripes: StripeTable;
    placements: PlacementTable;
    leftovers: LeftoverTally;
  }) {
    this.#names = parts.names;
    this.#tally = parts.tally;
    this.#changes = parts.changes;
    this.#buckets = parts.buckets;
    this.#references = parts.references;
    this.#stripes = parts.stripes;
    this.#placements = parts.placements;
    this.#leftovers = parts.leftovers;
  }

  mark(): void {
    this.#names.mark();
    this.#tally.mark();
    this.#changes.mark();
    this.#references.mark();
    this.#stripes.mark();
    this.#placements.mark();
    this.#leftovers.mark();
  }

  rewind(): void {
    this.#names.rewind();
    this.#tally.rewind();
    this.#changes.rewind();
    this.#buckets.forget();
    this.#references.rewind();
    this.#stripes.rewind();
    this.#placements.rewind();
    this.#leftovers.rewind();
  }

  save(): void {
    // Live bytes move totals, and changes draw a number: the tally is last.
    this.#references.save();
    this.#placements.save();
    this.#leftovers.save();
    this.#changes.save();
    this.#tally.save();
    this.#stripes.reset();
  }

  reload(): void {
    this.#names.reload();
    this.#tally.reload();
    this.#changes.reload();
    this.#buckets.forget();
    this.#references.reload();
    this.#stripes.reload();
    this.#placements.reload();
    this.#leftovers.reload();
  }

  end(): void {
    this.#buckets.end();
  }
}
