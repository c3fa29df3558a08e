import type { PlacedShard, ProviderId, ProviderRecord, Stripe, StripeId } from '../core/model.ts';

/** What a metadata store knows of the fleet, and of how the stripes lie on it. A part of `MetadataStore`, whose duties hold here too. */
export interface FleetStore {
  /** Every provider of the fleet, in order of id. */
  listProviders(): Promise<ProviderRecord[]>;
  /** Adds a provider or replaces what is known of it. */
  putProvider(record: ProviderRecord): Promise<void>;
  /** Does nothing where it is not known. @throws Failure `provider-in-use` while a stripe, freed ones included, has a shard there, good or lost */
  forgetProvider(id: ProviderId): Promise<void>;

  /**
   * How the live stripes lie, at one moment: one entry for each set of providers that hold the good shards of stripes of one shape. This is
   * counted, not estimated, and costs some 5 us an entry, of which there are at most as many as stripes. From it follows how many
   * stripes and bytes stand at each margin for any providers that are lost.
   *
   * @param isWanted which of them are to be kept; all unless given
   */
  listPlacements(isWanted?: (placement: Placement) => boolean): Promise<Placement[]>;
  /**
   * Which placements changed since an earlier call, at a cost that goes by how many did; those that changed in the meantime of both calls
   * are told of at least once. Marks are good for as long as the store is open.
   *
   * @param mark from an earlier call; undefined to begin with, which gives a mark and nothing else
   * @returns undefined where so many have changed that it is not known which: they are to be listed
   */
  readPlacementChanges(mark: number | undefined): Promise<PlacementChanges | undefined>;
  /** The profiles of which there are live stripes, system objects' included. Costs little, however many stripes there are. */
  listUsedProfiles(): Promise<string[]>;
  /** Live stripes of one placement, in order of id, after `after`. */
  listPlacedStripes(placementId: number, after: StripeId | undefined, limit: number): Promise<Stripe[]>;
  /** All live stripes in order of id, after `after`: system objects' too. */
  listStripes(after: StripeId | undefined, limit: number): Promise<Stripe[]>;
  /**
   * Records that a shard was found to be gone or wrong: it moves from `shards` to `lostShards`, and the stripe counts as lacking it until
   * `recordShard` of its index. Does nothing where it is not recorded there (any more).
   */
  loseShard(stripeId: StripeId, shard: PlacedShard): Promise<void>;
  /** For operators: since when the longest degraded stripe has lacked a recorded shard; undefined where none does. */
  findOldestDegradedMs(): Promise<number | undefined>;
}

export interface PlacementChanges {
  readonly mark: number;
  /** As they are now. */
  readonly placements: readonly Placement[];
  /** Those that have no stripes any more. */
  readonly goneIds: readonly number[];
}

/** Stripes of one shape whose good shards lie on the same providers. */
export interface Placement {
  /** Stable as long as there are such stripes, and never given to others. */
  readonly id: number;
  readonly profileName: string;
  readonly k: number;
  readonly m: number;
  /** How many shards each of the stripes should have: k+m less those with no stored bytes. */
  readonly shardCount: number;
  /** Who holds a good shard of each of them, in order of id; one that holds two of a stripe stands here twice. */
  readonly providers: readonly ProviderId[];
  readonly stripes: number;
  /** What all of their shards together take at the providers, those that are missing included. */
  readonly storedBytes: number;
}
