import type { Placement } from '../../metadata/fleet-store.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Fleet } from '../../placement/fleet.ts';
import { judgePlacement, type Redundancy, type StandingOf } from './redundancy.ts';

export interface JudgedPlacement {
  readonly placement: Placement;
  readonly redundancy: Redundancy;
}

/** What a watch tells of what it keeps. */
export interface WatchedPlacements {
  /** Takes in one that is wanted, or is another one than before. */
  set(id: number, judged: JudgedPlacement): void;
  delete(id: number): void;
  clear(): void;
}

export interface PlacementWatchParts {
  readonly metadata: Pick<MetadataStore, 'listPlacements' | 'readPlacementChanges'>;
  readonly fleet: Fleet;
  readonly isWanted: (redundancy: Redundancy, m: number) => boolean;
  readonly kept: WatchedPlacements;
}

/**
 * Keeps those placements that stand in some way, without listing all of them each time: there may be a hundred thousand, and as a rule
 * none of them lacks anything. All are judged anew only when a provider stands in another way than before.
 */
export class PlacementWatch {
  readonly #parts: PlacementWatchParts;
  /** By which standings what is kept was judged. */
  #standings: string | undefined;
  #mark: number | undefined;

  constructor(parts: PlacementWatchParts) {
    this.#parts = parts;
  }

  /** Brings what is kept up to date. @param standingOf the same for as long as this takes */
  async refresh(standingOf: StandingOf): Promise<void> {
    const { metadata, fleet, isWanted, kept } = this.#parts;
    const standings = JSON.stringify(fleet.records.map(({ id }) => [id, standingOf(id)]));
    if (standings === this.#standings) {
      const changes = await metadata.readPlacementChanges(this.#mark);
      if (changes !== undefined) {
        for (const id of changes.goneIds) kept.delete(id);
        for (const placement of changes.placements) this.#judge(placement, standingOf);
        this.#mark = changes.mark;
        return;
      }
    }
    this.#standings = undefined;
    const begun = await metadata.readPlacementChanges(undefined);
    const wanted = await metadata.listPlacements((each) => isWanted(judgePlacement(each, standingOf), each.m));
    kept.clear();
    for (const placement of wanted) this.#judge(placement, standingOf);
    this.#mark = begun?.mark;
    this.#standings = standings;
  }

  #judge(placement: Placement, standingOf: StandingOf): void {
    const { isWanted, kept } = this.#parts;
    const redundancy = judgePlacement(placement, standingOf);
    if (isWanted(redundancy, placement.m)) kept.set(placement.id, { placement, redundancy });
    else kept.delete(placement.id);
  }
}
