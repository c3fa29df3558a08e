import type { ProviderId, StripeId } from '../core/model.ts';
import type { Provider } from './providers/provider.ts';
import type { Roster } from './roster.ts';
import { type SpreadLevel, spreadLevels } from './spread-groups.ts';

/** Hands out places for the shards of one stripe, best first, each provider at most once. */
export interface Placer {
  /** The next best provider that the spread rule allows; past those, any that is left. Undefined when all were handed out. */
  take(): Provider | undefined;
  /** Says that a provider taken before holds no shard of the stripe after all, so that its operator, country and zone count no more. */
  giveBack(provider: Provider): void;
}

/** The stripe that is to be placed. */
export interface StripeToPlace {
  readonly id: StripeId;
  readonly k: number;
  readonly m: number;
  /** Who holds shards of it already: never handed out, but counted by the spread rule. */
  readonly holders?: readonly ProviderId[];
}

/** What placers work with: the fleet as it was when the stripe was begun, but for who is well. */
export interface PlacerParts {
  readonly roster: Roster;
  /** By the member's index in the roster. */
  readonly providers: readonly (Provider | undefined)[];
  /** 0 for a member that is well, more for one that is asked only when there is nobody better. */
  readonly tierOf: (member: number) => number;
  /** Called once for each level at which the stripe has more than m shards in one place. */
  readonly onExcess: (level: SpreadLevel) => void;
  /** Called when the roster has more to do for shapes of stripes that it did not know before. */
  readonly onUnsettled: () => void;
}

/**
 * Chooses places for all shards that the stripe lacks, at the first call, and again for those that are still lacking when
 * one was given back: the best that can be done with what is left.
 */
export class StripePlacer implements Placer {
  readonly #parts: PlacerParts;
  readonly #stripe: StripeToPlace;
  /** Members that were chosen and not handed out yet, the next one last. */
  #planned: number[] = [];
  readonly #handedOut = new Set<ProviderId>();
  readonly #held = new Set<ProviderId>();
  readonly #excessive = new Set<SpreadLevel>();

  constructor(parts: PlacerParts, stripe: StripeToPlace) {
    this.#parts = parts;
    this.#stripe = stripe;
  }

  take(): Provider | undefined {
    for (;;) {
      if (this.#planned.length === 0) this.#plan();
      const member = this.#planned.pop();
      if (member === undefined) return undefined;
      const { id } = this.#parts.roster.members[member]!;
      this.#handedOut.add(id);
      const provider = this.#parts.providers[member];
      if (provider === undefined) continue;
      this.#held.add(id);
      return provider;
    }
  }

  giveBack({ id }: Provider): void {
    if (this.#held.delete(id)) this.#planned = [];
  }

  #plan(): void {
    const { id, k, m, holders = [] } = this.#stripe;
    const { roster, tierOf, onExcess, onUnsettled } = this.#parts;
    const held = [...holders, ...this.#held];
    const { members, excess } = roster.choose(
      {
        id,
        shardCount: k + m,
        // Without parity the loss of any shard is one too many, and a bound of none would say nothing.
        cap: Math.max(1, m),
        holders: held,
        excluded: this.#handedOut,
        count: Math.max(1, k + m - held.length),
      },
      tierOf,
    );
    if (!roster.isSettled) onUnsettled();
    this.#planned = members.toReversed();
    spreadLevels.forEach((level, index) => {
      if (excess[index] === 0 || this.#excessive.has(level)) return;
      this.#excessive.add(level);
      onExcess(level);
    });
  }
}
