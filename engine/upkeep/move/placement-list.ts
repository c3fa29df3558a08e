import type { Placement } from '../../../metadata/fleet-store.ts';
import type { MetadataStore } from '../../../metadata/metadata-store.ts';

const minKeepMs = 2_000;
/** To list them takes at most this part of the time. */
const costPart = 0.05;

export interface PlacementListing {
  readonly placements: readonly Placement[];
  /** Another one for each time they were listed. */
  readonly number: number;
}

/**
 * How the stripes lie, as it was a few seconds ago: where there are a million placements it takes seconds to list them. Whoever acts on
 * it looks up each stripe as it is.
 */
export class PlacementList {
  readonly #metadata: Pick<MetadataStore, 'listPlacements'>;
  #listing: PlacementListing | undefined;
  #number = 0;
  #keepUntilMs = 0;
  #underWay: Promise<PlacementListing> | undefined;

  constructor(parts: { metadata: Pick<MetadataStore, 'listPlacements'> }) {
    this.#metadata = parts.metadata;
  }

  async read(): Promise<PlacementListing> {
    if (this.#listing !== undefined && performance.now() < this.#keepUntilMs) return this.#listing;
    this.#underWay ??= this.#list().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** Has them listed anew at the next call. */
  expire(): void {
    this.#keepUntilMs = 0;
  }

  async #list(): Promise<PlacementListing> {
    const startedAtMs = performance.now();
    const placements = await this.#metadata.listPlacements();
    const endedAtMs = performance.now();
    this.#number += 1;
    this.#listing = { placements, number: this.#number };
    this.#keepUntilMs = endedAtMs + Math.max(minKeepMs, (endedAtMs - startedAtMs) / costPart);
    return this.#listing;
  }
}
