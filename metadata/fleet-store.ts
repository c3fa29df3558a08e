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
   */
  listPlacements(): Promise<Placement[]>;
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
