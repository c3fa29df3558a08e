import type { ProviderId } from '../../../core/model.ts';
import type { Placement } from '../../../metadata/fleet-store.ts';
import { SpreadGroups, type SpreadLabels } from '../../../placement/spread-groups.ts';

/** What each provider holds and should hold, in bytes; providers that take nothing new are left out. */
export class Balance {
  readonly #held = new Map<ProviderId, number>();
  readonly #targets = new Map<ProviderId, number>();

  /**
   * @param sharesOf of how many of all stripes with k+m shards each provider should hold one (`Fleet.targetShares`)
   */
  constructor(
    placements: readonly Placement[],
    sharesOf: (shape: { k: number; m: number }) => ReadonlyMap<ProviderId, number>,
  ) {
    for (const { k, m, shardCount, providers, storedBytes } of placements) {
      if (shardCount === 0) continue;
      const shares = sharesOf({ k, m });
      const shareSum = [...shares.values()].reduce((sum, share) => sum + share, 0);
      const shardBytes = storedBytes / shardCount;
      const holders = providers.filter((id) => shares.has(id));
      for (const [id, share] of shares) add(this.#targets, id, (holders.length * shardBytes * share) / shareSum);
      for (const id of holders) add(this.#held, id, shardBytes);
    }
  }

  /** How many bytes a provider holds beyond what it should; negative where it should hold more. Undefined where it should take nothing. */
  surplusOf(id: ProviderId): number | undefined {
    const target = this.#targets.get(id);
    return target === undefined ? undefined : (this.#held.get(id) ?? 0) - target;
  }

  /** The provider that holds most beyond what it should, of those that `isFit`. */
  fullest(isFit: (id: ProviderId) => boolean): { readonly id: ProviderId; readonly surplusBytes: number } | undefined {
    let fullest: { id: ProviderId; surplusBytes: number } | undefined;
    for (const id of this.#targets.keys()) {
      const surplusBytes = this.surplusOf(id) ?? 0;
      if (isFit(id) && surplusBytes > (fullest?.surplusBytes ?? 0)) fullest = { id, surplusBytes };
    }
    return fullest;
  }

  /** The greatest distance from what a provider should hold, against what they should hold on average. */
  skew(): number {
    const targets = [...this.#targets.values()];
    const average = targets.reduce((sum, target) => sum + target, 0) / targets.length;
    if (!(average > 0)) return 0;
    return Math.max(...[...this.#targets.keys()].map((id) => Math.abs(this.surplusOf(id) ?? 0))) / average;
  }

  /** Whether a shard of that length, moved from one to the other, leaves neither worse off: no such move is ever undone by another. */
  isImprovedBy(from: ProviderId, to: ProviderId, bytes: number): boolean {
    const surplus = this.surplusOf(from);
    const deficit = this.surplusOf(to);
    return surplus !== undefined && deficit !== undefined && surplus >= bytes && deficit <= -bytes;
  }

  noteMove(from: ProviderId, to: ProviderId, bytes: number): void {
    add(this.#held, from, -bytes);
    add(this.#held, to, bytes);
  }
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
    return this.#groups.countHolders(holders).reduce((sum, count) => sum + Math.max(count - cap, 0), 0);
  }

  /** What the excess is after a shard went from one provider to another. */
  excessAfter(
    shape: { readonly m: number },
    holders: readonly ProviderId[],
    { from, to }: { readonly from: ProviderId; readonly to: ProviderId },
  ): number {
    return this.excessOf(shape, [...holders.filter((id) => id !== from), to]);
  }
}

function add(sums: Map<ProviderId, number>, id: ProviderId, bytes: number): void {
  sums.set(id, (sums.get(id) ?? 0) + bytes);
}
