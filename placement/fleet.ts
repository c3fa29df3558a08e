import type { ProviderId, StripeId } from '../core/model.ts';
import type { ProviderHealth } from './provider-health.ts';
import type { Provider } from './providers/provider.ts';
import { type FleetMember, rankProviders } from './rank-providers.ts';

export type { FleetMember };

/**
 * How a provider stands:
 * - `up`: it may be called, and did well of late
 * - `down`: it does not answer, or is suspended; it is expected back
 * - `lost`: it is gone, not in the fleet, or has been down for so long that its shards are to be rebuilt elsewhere
 */
export type Standing = 'up' | 'down' | 'lost';

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

/** All providers, and which of them look well. */
export class Fleet {
  readonly members: readonly FleetMember[];
  readonly #byId: Map<ProviderId, Provider>;
  /** How its providers do. */
  readonly health: ProviderHealth;

  constructor(parts: { members: readonly FleetMember[]; health: ProviderHealth }) {
    this.members = parts.members;
    this.#byId = new Map(parts.members.map((member) => [member.provider.id, member.provider]));
    this.health = parts.health;
  }

  /** Undefined for a provider that may not be called: it is suspended, gone, or not in the fleet. */
  find(id: ProviderId): Provider | undefined {
    return this.#byId.get(id);
  }

  /** Whether the provider failed or hung so recently that others should be asked first. */
  isSuspect(id: ProviderId): boolean {
    return this.health.isSuspect(id);
  }

  standingOf(id: ProviderId): Standing {
    if (this.find(id) === undefined) return 'lost';
    return this.health.state(id) === 'closed' ? 'up' : 'down';
  }

  /** Places for a stripe's shards; slow providers, full ones and those under suspicion come last, in this order. */
  placeStripe(stripe: StripeToPlace): Placer {
    const left = rankProviders(stripe.id, this.members)
      .map(({ provider }) => ({ provider, rank: this.health.writeRank(provider.id) }))
      .filter(({ provider }) => !stripe.holders?.includes(provider.id));
    const queue = left.sort((a, b) => a.rank - b.rank).values();
    return { take: () => queue.next().value?.provider, giveBack: () => {} };
  }
}
