import type { ProviderId } from '../../../core/model.ts';
import { type StripeGeometry, storedBlockBytes, storedShardCount } from '../../../erasure/geometry.ts';
import { shardBytes } from '../../../erasure/shard-format.ts';
import type { Placement } from '../../../metadata/fleet-store.ts';
import { SpreadGroups, type SpreadLabels } from '../../../placement/spread-groups.ts';
import { targetShares } from '../../../placement/target-shares.ts';

/** A provider that takes new shards. */
export interface BalanceMember extends SpreadLabels {
  /** How much it should hold, relative to the others; above 0. */
  readonly weight: number;
}

/** What members should hold is computed: a gain below this part of it may be none. */
const roundingShare = 1e-6;

type Shape = Pick<Placement, 'k' | 'm'>;
type HeldPlacement = Pick<Placement, 'k' | 'm' | 'shardCount' | 'providers' | 'storedBytes'>;

/**
 * What each of the members holds and should hold, in bytes. What others hold stays out of the account. Every shard of a stripe counts as long
 * as they are on average: so what is counted from placements and what moves change is the same account, and a plan that is
 * made anew begins where the last one ended.
 */
export class Balance {
  readonly #members: readonly BalanceMember[];
  readonly #ids: readonly ProviderId[];
  readonly #held: Map<ProviderId, number>;
  /** What is to be shared out, by shape. */
  readonly #shared = new Map<string, { readonly shape: Shape; bytes: number }>();
  #targets: ReadonlyMap<ProviderId, number> | undefined;

  constructor(members: readonly BalanceMember[]) {
    this.#members = members;
    this.#ids = members.map(({ id }) => id);
    this.#held = new Map(members.map(({ id }) => [id, 0]));
  }

  add({ k, m, shardCount, providers, storedBytes }: HeldPlacement): void {
    if (shardCount === 0) return;
    const shardBytes = storedBytes / shardCount;
    let count = 0;
    for (const id of providers) {
      const held = this.#held.get(id);
      if (held === undefined) continue;
      this.#held.set(id, held + shardBytes);
      count += 1;
    }
    const name = `${k} ${m}`;
    const shared = this.#shared.get(name) ?? { shape: { k, m }, bytes: 0 };
    shared.bytes += count * shardBytes;
    this.#shared.set(name, shared);
    this.#targets = undefined;
  }

  get ids(): readonly ProviderId[] {
    return this.#ids;
  }

  /** Members that hold less than they should, the emptiest first. */
  needy(): ProviderId[] {
    return [...this.#held.keys()]
      .map((id) => ({ id, surplus: this.surplusOf(id) ?? 0 }))
      .filter(({ surplus }) => surplus < 0)
      .sort((a, b) => a.surplus - b.surplus)
      .map(({ id }) => id);
  }

  /** How many bytes a member holds beyond what it should; negative where it should hold more. Undefined for others. */
  surplusOf(id: ProviderId): number | undefined {
    const held = this.#held.get(id);
    return held === undefined ? undefined : held - (this.#targetsOf().get(id) ?? 0);
  }

  /** The member that holds most beyond what it should, of those that `isFit`. */
  fullest(isFit: (id: ProviderId) => boolean): ProviderId | undefined {
    let fullest: { id: ProviderId; surplus: number } | undefined;
    for (const id of this.#held.keys()) {
      const surplus = this.surplusOf(id) ?? 0;
      if (surplus > (fullest?.surplus ?? 0) && isFit(id)) fullest = { id, surplus };
    }
    return fullest?.id;
  }

  /** The greatest distance from what a member should hold, against what they should hold on average. */
  skew(): number {
    const targets = [...this.#targetsOf().values()];
    const average = targets.reduce((sum, target) => sum + target, 0) / targets.length;
    return average > 0 ? this.furthestBytes() / average : 0;
  }

  /** The same distance in bytes. */
  furthestBytes(): number {
    return Math.max(0, ...this.distances());
  }

  /** How far each member is from what it should hold, in bytes. */
  distances(): number[] {
    return Array.from(this.#held.keys(), (id) => Math.abs(this.surplusOf(id) ?? 0));
  }

  /** What members hold together. */
  heldBytes(): number {
    return [...this.#held.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * Whether a shard of that length should go from one to the other: from one that has too much to one that has too little, and so that the
   * sum of the squares of all distances falls. As it falls with every move they come to an end, and none is ever undone by another.
   */
  isImprovedBy(from: ProviderId, to: ProviderId, bytes: number): boolean {
    const surplus = this.surplusOf(from) ?? 0;
    const deficit = this.surplusOf(to) ?? 0;
    const targets = this.#targetsOf();
    const rounding = roundingShare * ((targets.get(from) ?? 0) + (targets.get(to) ?? 0));
    return surplus > 0 && deficit < 0 && surplus - deficit > bytes + rounding;
  }

  noteMove(from: ProviderId, to: ProviderId, bytes: number): void {
    for (const [id, change] of [
      [from, -bytes],
      [to, bytes],
    ] as const) {
      const held = this.#held.get(id);
      if (held !== undefined) this.#held.set(id, held + change);
    }
  }

  #targetsOf(): ReadonlyMap<ProviderId, number> {
    if (this.#targets !== undefined) return this.#targets;
    const targets = new Map<ProviderId, number>(this.#members.map(({ id }) => [id, 0]));
    for (const { shape, bytes } of this.#shared.values()) {
      const shares = sharesOf(this.#members, shape);
      const sum = shares.reduce((total, share) => total + share, 0);
      this.#members.forEach(({ id }, at) => {
        targets.set(id, targets.get(id)! + (bytes * shares[at]!) / sum);
      });
    }
    this.#targets = targets;
    return targets;
  }
}

/** Of how many of all stripes of this shape each member should hold a shard. */
function sharesOf(members: readonly BalanceMember[], { k, m }: Shape): Float64Array {
  const weights = members.map(({ weight }) => weight);
  return targetShares(weights, { count: k + m, cap: Math.max(1, m), groups: new SpreadGroups(members) });
}

/** How long a shard of the stripe counts. */
export function accountedBytes(stripe: StripeGeometry): number {
  let bytes = 0;
  for (let index = 0; index < stripe.k + stripe.m; index++) {
    if (storedBlockBytes(stripe, index, 0) > 0) bytes += shardBytes(stripe, index);
  }
  return bytes / storedShardCount(stripe);
}

/** How far stripes are from the spread rule, and what would bring them nearer. */
export class SpreadCheck {
  readonly #groups: SpreadGroups;

  constructor(members: readonly SpreadLabels[]) {
    this.#groups = new SpreadGroups(members);
  }

  /** How many shards lie in an operator, country or zone beyond m, over all of them. */
  excessOf({ m }: { readonly m: number }, holders: readonly ProviderId[]): number {
    const cap = Math.max(1, m);
    let excess = 0;
    for (const count of this.#groups.countHolders(holders)) if (count > cap) excess += count - cap;
    return excess;
  }

  /** What the excess is after a shard went from one provider to another. */
  excessAfter(
    shape: { readonly m: number },
    holders: readonly ProviderId[],
    { from, to }: { readonly from: ProviderId; readonly to: ProviderId },
  ): number {
    const after = [...holders, to];
    // One shard goes, also where the provider holds two.
    const at = after.indexOf(from);
    if (at >= 0) after.splice(at, 1);
    return this.excessOf(shape, after);
  }
}
