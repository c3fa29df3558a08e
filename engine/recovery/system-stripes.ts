import type { PlacedShard, Stripe, StripeId } from '../../core/model.ts';
import { systemProfileName } from '../../metadata/metadata-store.ts';
import { type ProofParts, proveStripe, type StripeVariants } from './prove-stripe.ts';
import { groupByStripe, scanShards } from './scan-shards.ts';

/**
 * Stripes of system objects with shards that no location names: of a stripe that was short of a shard when it was named, repair has
 * written what it lacked later, and the name of that stands in no batch that could be read without it. All providers are searched, once, and only
 * when somebody asks.
 */
export class SystemStripes {
  readonly #parts: ProofParts;
  #found: Promise<Map<StripeId, StripeVariants>> | undefined;

  constructor(parts: ProofParts) {
    this.#parts = parts;
  }

  /**
   * @param stripe with those of its named shards that can be found
   * @returns with whatever else belongs to it; undefined where too few shards are pieces of one code word. What is read of it is to be proven
   *   by its tags.
   */
  async complete(stripe: Stripe, signal: AbortSignal): Promise<Stripe | undefined> {
    this.#found ??= this.#search(signal);
    const variants = (await this.#found).get(stripe.id) ?? [];
    const named = new Set(stripe.shards.map(({ index }) => index));
    const others = variants.flatMap((variant): readonly PlacedShard[] =>
      isAlike(variant, stripe) ? variant.shards : [],
    );
    const shards = [...stripe.shards, ...others.filter(({ index }) => !named.has(index))];
    return (await proveStripe(this.#parts, [{ ...stripe, shards }], signal))?.stripe;
  }

  async #search(signal: AbortSignal): Promise<Map<StripeId, StripeVariants>> {
    const scan = { fleet: this.#parts.fleet, sinceMs: 0, onFailure: () => {}, onPage: () => {} };
    const isWanted = ({ profileName }: { readonly profileName: string }): boolean => profileName === systemProfileName;
    return groupByStripe(await scanShards(scan, async (page) => page, isWanted, signal));
  }
}

/** Whether a stripe as its shards describe it has the geometry that was sealed. */
function isAlike(a: Stripe, b: Stripe): boolean {
  const names = ['profileName', 'k', 'm', 'blockBytes', 'dataBytes', 'manifestBytes'] as const;
  return names.every((name) => a[name] === b[name]);
}
