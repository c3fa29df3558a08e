import { LRUCache } from 'lru-cache';
import type { SealedSpan, StripeId } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { MetadataStore, StripeReference } from '../../metadata/metadata-store.ts';
import type { Owner } from '../recovery/verify-report.ts';
import {
  compareMargins,
  judgePlacement,
  judgeStripe,
  type Margin,
  nameMargin,
  type Redundancy,
  type StandingOf,
} from './redundancy.ts';

const pageStripes = 50;
/** Objects of several stripes that are remembered, so that a long one is not judged anew for each of them. */
const maxRemembered = 10_000;

/** An object version, a part or a system object, and how its worst stripe stands. */
export interface OwnerMargin {
  readonly owner: Owner;
  readonly margin: Margin;
}

/** What one stripe's worst owners came to, and where the walk can go on after it. */
export interface WalkStep {
  readonly owners: readonly OwnerMargin[];
  readonly cursor: string;
}

interface Worst {
  readonly margin: Margin;
  /** The first of the stripes that stand so. */
  readonly stripeId: StripeId;
}

/**
 * Finds who lives in stripes that stand at chosen margins: by the placements to their stripes, and from each stripe to those that refer to
 * it. Whoever lies in several stripes is told of once, at the worst of them. Needs the same memory however many
 * there are. What changes meanwhile may be told of as before or as after.
 */
export class ObjectWalk {
  readonly #metadata: MetadataStore;
  readonly #standingOf: StandingOf;
  readonly #isWanted: (redundancy: Redundancy, m: number) => boolean;
  readonly #listKnown: (() => Promise<Placement[]>) | undefined;
  /** Made with the first that is wanted: it takes its room at once, and as a rule none is. */
  #remembered: LRUCache<number, Worst> | undefined;

  /**
   * @param standingOf the same from beginning to end
   * @param listKnown lists placements of which all others are known not to be wanted; all are listed unless given
   */
  constructor(
    metadata: MetadataStore,
    standingOf: StandingOf,
    isWanted: (redundancy: Redundancy, m: number) => boolean,
    listKnown?: () => Promise<Placement[]>,
  ) {
    this.#metadata = metadata;
    this.#standingOf = standingOf;
    this.#isWanted = isWanted;
    this.#listKnown = listKnown;
  }

  /** A step for each stripe, in order of placement and stripe. @param cursor of the last step that is not wanted any more */
  async *walk(cursor: string | undefined, signal: AbortSignal): AsyncGenerator<WalkStep, void, void> {
    const from = parseCursor(cursor);
    for (const { id: placementId } of await this.#listPlacements(from.placementId)) {
      let after = placementId === from.placementId ? from.after : undefined;
      for (;;) {
        signal.throwIfAborted();
        const stripes = await this.#metadata.listPlacedStripes(placementId, after, pageStripes);
        for (const { id } of stripes) {
          yield { owners: await this.#judgeReferences(id), cursor: `${placementId}:${id}` };
        }
        after = stripes.at(-1)?.id;
        if (stripes.length < pageStripes) break;
      }
    }
  }

  /** System objects that stand at a wanted margin: there are few. */
  async listSystemObjects(): Promise<OwnerMargin[]> {
    const found: OwnerMargin[] = [];
    for (const { name, spans } of await this.#metadata.listSystemObjects()) {
      const worst = await this.#judgeSpans(spans);
      if (worst !== undefined) found.push({ owner: { kind: 'system', name }, margin: worst.margin });
    }
    return found;
  }

  async #listPlacements(fromId: number): Promise<Placement[]> {
    const isWanted = (each: Placement): boolean =>
      each.id >= fromId && this.#isWanted(judgePlacement(each, this.#standingOf), each.m);
    const known = await this.#listKnown?.();
    const placements = known?.filter(isWanted) ?? (await this.#metadata.listPlacements(isWanted));
    return placements.sort((a, b) => a.id - b.id);
  }

  async #judgeReferences(stripeId: StripeId): Promise<OwnerMargin[]> {
    const owners: OwnerMargin[] = [];
    for (const reference of await this.#metadata.listReferences(stripeId)) {
      const worst = await this.#judgeReference(reference);
      if (worst?.stripeId === stripeId) owners.push({ owner: ownerOf(reference), margin: worst.margin });
    }
    return owners;
  }

  async #judgeReference(reference: StripeReference): Promise<Worst | undefined> {
    const { number } = reference;
    const remembered = this.#remembered?.get(number);
    if (remembered !== undefined) return remembered;
    const { spans } = reference.kind === 'part' ? reference.part : reference.version;
    const worst = await this.#judgeSpans(spans);
    if (worst === undefined) return undefined;
    this.#remembered ??= new LRUCache({ max: maxRemembered });
    this.#remembered.set(number, worst);
    return worst;
  }

  /** The worst of the stripes; undefined where none stands at a wanted margin. */
  async #judgeSpans(spans: readonly SealedSpan[]): Promise<Worst | undefined> {
    const ids = new Set(spans.flatMap(({ extents }) => extents.map(({ stripeId }) => stripeId)));
    let worst: Worst | undefined;
    for (const stripe of (await this.#metadata.findStripes([...ids])).values()) {
      const redundancy = judgeStripe(stripe, this.#standingOf);
      if (!this.#isWanted(redundancy, stripe.m)) continue;
      const margin = nameMargin(redundancy);
      const order = worst === undefined ? 1 : compareMargins(margin, worst.margin);
      const isWorse = order > 0 || (order === 0 && worst !== undefined && stripe.id < worst.stripeId);
      if (isWorse) worst = { margin, stripeId: stripe.id };
    }
    return worst;
  }
}

function ownerOf(reference: StripeReference): Owner {
  const bucket = reference.bucket.name;
  if (reference.kind === 'part') {
    const { key, uploadId, part } = reference;
    return { kind: 'part', bucket, key, uploadId, partNumber: part.partNumber };
  }
  const { key, versionId } = reference.version;
  return { kind: 'version', bucket, key, versionId };
}

function parseCursor(cursor: string | undefined): { placementId: number; after: StripeId | undefined } {
  const match = /^(\d+):([0-9a-f]{32})$/.exec(cursor ?? '');
  if (match === null) return { placementId: 0, after: undefined };
  return { placementId: Number(match[1]), after: match[2] as StripeId };
}
