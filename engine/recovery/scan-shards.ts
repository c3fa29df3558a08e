import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { PlacedShard, ProviderId, ShardCid, Stripe, StripeId } from '../../core/model.ts';
import {
  parseShardHeader,
  parseShardTrailer,
  type ShardIdentity,
  type ShardTrailer,
  shardCid,
  shardHeaderBytes,
  shardTrailerBytes,
} from '../../erasure/shard-format.ts';
import type { Fleet } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import type { StripeVariants } from './prove-stripe.ts';

/** A shard as a provider lists it. */
interface ListedShard {
  readonly cid: ShardCid;
  readonly bytes: number;
}

/** A shard that says of itself what it is, and whose name proves it. */
export interface FoundShard extends PlacedShard {
  readonly identity: ShardIdentity;
  readonly trailer: ShardTrailer;
}

export interface ScanParts {
  readonly fleet: Fleet;
  /** Shards last written before this are passed over. */
  readonly sinceMs: number;
  /** Called where a provider cannot be listed to its end. */
  readonly onFailure: (provider: ProviderId, error: unknown) => void;
  /** Called after each page, with how many shards were listed. */
  readonly onPage: (shards: number) => void;
}

const pageShards = 1_000;
/** Reads under way at one provider. */
const width = 16;
/** Shards up to this length are read whole: one call is less than two. */
const wholeBytes = 16 * 1024;
/** Enough for the footer of a shard of 126 blocks. */
const tailBytes = 4 * 1024;

/**
 * All shards of the fleet that `isWanted` says to look into, as they describe themselves. What a provider returns is
 * believed only as far as the shard's name proves it: header and footer belong together, and are whole.
 *
 * @param choose those of a page of a provider that are to be looked into
 * @param isWanted by the header alone
 */
export async function scanShards(
  { fleet, sinceMs, onFailure, onPage }: ScanParts,
  choose: (page: readonly ListedShard[], holder: ProviderId) => Promise<readonly ListedShard[]>,
  isWanted: (identity: ShardIdentity) => boolean,
  signal: AbortSignal,
): Promise<FoundShard[]> {
  const found: FoundShard[] = [];
  const scanProvider = async (provider: Provider): Promise<void> => {
    let cursor: string | undefined;
    do {
      const page = await provider.listShards(cursor, pageShards, signal);
      onPage(page.shards.length);
      const recent = page.shards.filter(({ modifiedAtMs }) => modifiedAtMs >= sinceMs);
      const chosen = recent.length > 0 ? await choose(recent, provider.id) : [];
      await forEachBounded(chosen, width, async (listed) => {
        const shard = await readFacts(provider, listed, isWanted, signal).catch(() => undefined);
        signal.throwIfAborted();
        if (shard !== undefined) found.push(shard);
      });
      cursor = page.cursor;
    } while (cursor !== undefined);
  };
  await Promise.all(
    fleet.members.map(async ({ provider }) => {
      try {
        await scanProvider(provider);
      } catch (error) {
        signal.throwIfAborted();
        onFailure(provider.id, error);
      }
    }),
  );
  return found;
}

async function readFacts(
  provider: Provider,
  { cid, bytes }: ListedShard,
  isWanted: (identity: ShardIdentity) => boolean,
  signal: AbortSignal,
): Promise<FoundShard | undefined> {
  if (bytes < shardHeaderBytes + shardTrailerBytes) return undefined;
  const whole = bytes <= wholeBytes ? await provider.readShard(cid, 0, bytes, signal) : undefined;
  const read = async (offset: number, length: number): Promise<Uint8Array> =>
    whole?.subarray(offset, offset + length) ?? provider.readShard(cid, offset, length, signal);
  const header = await read(0, shardHeaderBytes);
  const identity = parseShardHeader(header);
  if (identity === undefined || !isWanted(identity)) return undefined;
  const tailLength = Math.min(bytes - shardHeaderBytes, tailBytes);
  const tail = await read(bytes - tailLength, tailLength);
  const trailer = parseShardTrailer(tail.subarray(tail.length - shardTrailerBytes));
  if (trailer === undefined || trailer.footerBytes > bytes - shardHeaderBytes) return undefined;
  const { footerBytes } = trailer;
  const footer =
    footerBytes <= tailLength ? tail.subarray(tailLength - footerBytes) : await read(bytes - footerBytes, footerBytes);
  if (shardCid(header, footer) !== cid) return undefined;
  return { index: identity.index, providerId: provider.id, cid, identity, trailer };
}

/**
 * What these shards may be stripes of. Providers can contradict each other: then there are several variants of a stripe, the one that
 * most shards tell of first, and of an index there may be several shards, and one shard at several providers (see `proveStripe`).
 */
export function groupByStripe(found: readonly FoundShard[]): Map<StripeId, StripeVariants> {
  const stripes = new Map<StripeId, StripeVariants>();
  for (const [id, shards] of Map.groupBy(found, ({ identity }) => identity.stripeId)) {
    const byGeometry = [...Map.groupBy(shards, describeGeometry).values()];
    byGeometry.sort((a, b) => b.length - a.length);
    stripes.set(id, byGeometry.map(toStripe));
  }
  return stripes;
}

function toStripe(shards: readonly FoundShard[]): Stripe {
  const { stripeId: id, profileName, k, m, blockBytes } = shards[0]!.identity;
  const { dataBytes, manifestBytes } = shards[0]!.trailer;
  const placed = shards.map(({ index, providerId, cid }) => ({ index, providerId, cid }));
  placed.sort((a, b) => a.index - b.index);
  return { id, profileName, k, m, blockBytes, dataBytes, manifestBytes, shards: placed };
}

function describeGeometry({ identity, trailer }: FoundShard): string {
  const { profileName, k, m, blockBytes } = identity;
  return [profileName, k, m, blockBytes, trailer.dataBytes, trailer.manifestBytes].join(' ');
}
