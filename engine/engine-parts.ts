import type { ByteBudget } from '../core/byte-budget.ts';
import type { Clock } from '../core/clock.ts';
import { Failure } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ETagKind, Profile, StripeId } from '../core/model.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import type { Md5Lanes } from '../crypto/md5/md5-lanes.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Fleet } from '../placement/fleet.ts';
import type { Provider } from '../placement/providers/provider.ts';
import type { BlockReader } from './block-reader.ts';
import type { EngineLimits } from './engine-limits.ts';
import type { Packer } from './packer.ts';
import type { PieceCache } from './piece-cache.ts';
import type { RowPool } from './row-pool.ts';
import type { RowWork } from './row-work/row-work.ts';
import type { StripePins } from './stripe-pins.ts';
import type { ClientLoad } from './upkeep/client-load.ts';
import type { UpkeepLocks } from './upkeep/upkeep-locks.ts';

/** What the engine's verbs work with. */
export interface EngineParts {
  readonly metadata: MetadataStore;
  readonly fleet: Fleet;
  readonly codec: ErasureCodec;
  readonly profiles: readonly Profile[];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits: EngineLimits;
  /** Hashes what is written, for its ETag. */
  readonly md5: Md5Lanes;
  /** What ETags are in buckets without a word of their own. */
  readonly etags: ETagKind;
  /** Opens and seals everything; providers never see it. */
  readonly masterKey: MasterKey;
  /** Memory for uploads on their way; `rows` takes from it too. */
  readonly writeBudget: ByteBudget;
  readonly rows: RowPool;
  /** Codes and opens rows of large objects, and seals and codes packs, in threads where there are any. */
  readonly rowWork: RowWork;
  /** Rows of packs, of which there are few, under a budget of their own: items wait for them and hold memory meanwhile. */
  readonly packRows: RowPool;
  readonly packerOf: (profile: Profile) => Packer;
  readonly readBudget: ByteBudget;
  readonly blocks: BlockReader;
  /** Small objects that were read lately, opened. */
  readonly pieces: PieceCache;
  readonly pins: StripePins;
  readonly locks: UpkeepLocks;
  /** What clients feel of upkeep. */
  readonly clientLoad: ClientLoad;
  /** Logs that a write to a provider failed. */
  readonly noteProviderFailure: (provider: Provider, error: unknown) => void;
  /** Says that there is a stripe to repair. */
  readonly kickRepair: () => void;
  /** Says that something in a stripe does not open although its blocks have their digests, so that its shards may not go together. */
  readonly noteMiscoded: (id: StripeId) => void;
  readonly journal: MetadataJournal;
}

/** Where changes go that must survive the loss of the gateway's disk, and that no manifest bears. */
export interface MetadataJournal {
  /** Resolves when all changes that were committed before the call are durable at the providers. */
  flush(): Promise<void>;
  /**
   * Changes that were committed before this moment are durable at the providers. A stripe that was freed later must stay
   * readable: if the disk were lost, what would be recovered may still refer to it.
   */
  coversUntilMs(): number;
}

/** @throws Failure `profile-missing` */
export function findProfile({ profiles }: Pick<EngineParts, 'profiles'>, name: string): Profile {
  const profile = profiles.find((each) => each.name === name);
  if (profile === undefined) throw new Failure('profile-missing', { profileName: name });
  return profile;
}
