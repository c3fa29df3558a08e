import { Failure, isFailure } from '../core/failure.ts';
import type { PlacedShard, Profile, StripeId } from '../core/model.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { type StripeGeometry, storedBlockBytes, storedShardCount } from '../erasure/geometry.ts';
import { shardBytes } from '../erasure/shard-format.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import type { Provider } from '../placement/providers/provider.ts';
import type { EngineParts } from './engine-parts.ts';
import { placeDownLast } from './lane-places.ts';
import type { Row } from './row-pool.ts';
import { settleLanes } from './settle-lanes.ts';
import { type LaneSetting, ShardLane } from './shard-lane.ts';

/** What the engine has that every stripe is written with. */
type StripeWriterParts = Pick<EngineParts, 'fleet' | 'codec' | 'limits' | 'noteProviderFailure'>;

/**
 * Writes one stripe: codes row after row and sends its blocks to k+m providers, never two shards to one. Calls come one
 * at a time, but `abort` may come at any time.
 */
export class StripeWriter {
  readonly id: StripeId;
  readonly #profile: Profile;
  readonly #blockBytes: number;
  readonly #codec: ErasureCodec;
  readonly #setting: LaneSetting;
  readonly #lateMs: number;
  readonly #lanes: ShardLane[] = [];
  readonly #failures: unknown[] = [];
  #rows = 0;
  #dataBytes = 0;
  #manifestBytes = 0;

  constructor(
    { fleet, codec, limits, noteProviderFailure }: StripeWriterParts,
    stripe: {
      readonly id: StripeId;
      readonly profile: Profile;
      readonly blockBytes: number;
      readonly signal: AbortSignal;
    },
  ) {
    this.id = stripe.id;
    this.#profile = stripe.profile;
    this.#blockBytes = stripe.blockBytes;
    this.#codec = codec;
    this.#lateMs = limits.lateWriteMs;
    const { k, m } = stripe.profile;
    const isDown = ({ id }: Provider): boolean => fleet.isSuspect(id) && fleet.health.state(id) !== 'closed';
    this.#setting = {
      placer: placeDownLast(fleet.placeStripe({ id: stripe.id, k, m }), isDown),
      isSuspect: (provider) => fleet.isSuspect(provider.id),
      isDown,
      mayForgo: () => this.#liveLanes() > this.#quorum(),
      noteFailure: (provider, error) => {
        this.#failures.push(error);
        noteProviderFailure(provider, error);
      },
      suspectWaitMs: limits.suspectWaitMs,
      stuckMs: ({ id }) =>
        fleet.findRecord(id)?.location.kind === 'bucket' ? limits.stuckBucketWriteMs : limits.stuckWriteMs,
      signal: stripe.signal,
    };
  }

  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Whether a provider failed: then one that was given up may still read the blocks it was handed. */
  get hasFailures(): boolean {
    return this.#failures.length > 0;
  }

  /**
   * Codes a row and hands its blocks to the providers; resolves when they have taken them. A row that is not full must
   * be the last. The row's memory must stay as it is meanwhile, and that of the last row until `commit` settles.
   *
   * @param end given with the last row: how many of the stripe's data bytes are its manifest
   * @param digests those of the blocks, where the row was coded by `codeRow` before
   * @throws Failure `too-few-writes`, `storage-full`: the stripe is then to be aborted
   */
  async writeRow(row: Row, end?: { readonly manifestBytes: number }, digests?: readonly Uint8Array[]): Promise<void> {
    const { data, parity } = row.layOut();
    if (digests === undefined && parity.length > 0) this.#codec.encode(data, parity);
    const blocks = [...data, ...parity];
    const rowIndex = this.#rows++;
    this.#dataBytes += row.filledBytes;
    this.#manifestBytes = end?.manifestBytes ?? 0;
    const stripeEnd = end && { dataBytes: this.#dataBytes, manifestBytes: end.manifestBytes };
    const geometry = this.#geometry();
    if (rowIndex === 0) this.#openLanes(geometry);
    const append = (lane: ShardLane): Promise<void> => {
      const storedBytes = storedBlockBytes(geometry, lane.index, rowIndex);
      const block = storedBytes > 0 ? blocks[lane.index]?.subarray(0, storedBytes) : undefined;
      return lane.append(block, stripeEnd, digests?.[lane.index]);
    };
    await settleLanes(this.#lanes, append, { needed: this.#quorum(), lateMs: this.#lateMs });
    this.#checkQuorum(this.#liveLanes());
  }

  /**
   * Makes the stripe durable, after its last row. Providers that are down, or late by the measure of the others, are not waited for
   * once the quorum is there.
   *
   * @returns the stripe with the shards that are durable: all, or at least the quorum
   * @throws Failure `too-few-writes`, `storage-full`: the stripe is then to be aborted
   */
  async commit(): Promise<NewStripe> {
    const lanes = this.#lanes.filter((lane) => !lane.isDead);
    await settleLanes(lanes, (lane) => lane.commit(), { needed: this.#quorum(), lateMs: this.#lateMs });
    const shards = this.#lanes.map((lane) => lane.placed).filter((placed): placed is PlacedShard => !!placed);
    this.#checkQuorum(shards.length);
    const geometry = this.#geometry();
    return {
      id: this.id,
      profileName: this.#profile.name,
      ...geometry,
      manifestBytes: this.#manifestBytes,
      shards,
      shardCount: this.#lanes.length,
      storedBytes: this.#lanes.reduce((sum, lane) => sum + shardBytes(geometry, lane.index), 0),
    };
  }

  /** Takes back all that was written. Never throws. */
  async abort(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.abort()));
  }

  #openLanes(geometry: StripeGeometry): void {
    const { k, m, name: profileName } = this.#profile;
    for (let index = 0; index < k + m; index++) {
      // Where the first row stores nothing it is the only row, and the shard will never exist.
      if (storedBlockBytes(geometry, index, 0) === 0) continue;
      const identity = { stripeId: this.id, profileName, k, m, index, blockBytes: this.#blockBytes };
      this.#lanes.push(new ShardLane(identity, this.#setting));
    }
  }

  #geometry(): StripeGeometry {
    const { k, m } = this.#profile;
    return { k, m, blockBytes: this.#blockBytes, dataBytes: this.#dataBytes };
  }

  #liveLanes(): number {
    return this.#lanes.reduce((live, lane) => (lane.isDead ? live : live + 1), 0);
  }

  /** With fewer than k + ceil(m/2) shards of the k+m a stripe is not safe; of a short stripe as many may be lacking. */
  #quorum(): number {
    return storedShardCount(this.#geometry()) - Math.floor(this.#profile.m / 2);
  }

  #checkQuorum(shards: number): void {
    const needed = this.#quorum();
    if (shards >= needed) return;
    const isFull = this.#failures.length > 0 && this.#failures.every((error) => isFailure(error, 'provider-full'));
    const detail = { stripeId: this.id, needed, durable: shards };
    throw new Failure(isFull ? 'storage-full' : 'too-few-writes', detail, { cause: this.#failures.at(-1) });
  }
}
