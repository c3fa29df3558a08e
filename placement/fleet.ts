import type { ProviderId, StripeId } from '../core/model.ts';
import type { ProviderHealth } from './provider-health.ts';
import type { Provider } from './providers/provider.ts';
import { type FleetMember, rankProviders } from './rank-providers.ts';

export type { FleetMember };

/** All providers, and which of them look well. */
export class Fleet {
  readonly members: readonly FleetMember[];
  readonly #byId: Map<ProviderId, Provider>;
  readonly #health: ProviderHealth;

  constructor(parts: { members: readonly FleetMember[]; health: ProviderHealth }) {
    this.members = parts.members;
    this.#byId = new Map(parts.members.map((member) => [member.provider.id, member.provider]));
    this.#health = parts.health;
  }

  /** Undefined for a provider that is no longer configured. */
  find(id: ProviderId): Provider | undefined {
    return this.#byId.get(id);
  }

  /** Whether the provider failed or hung so recently that others should be asked first. */
  isSuspect(id: ProviderId): boolean {
    return this.#health.isSuspect(id);
  }

  /** Every provider, best place for a shard of this stripe first; those under suspicion come last. */
  rankForWrite(stripeId: StripeId): Provider[] {
    const ranked = rankProviders(stripeId, this.members).map((member) => member.provider);
    const suspect = ranked.filter((provider) => this.isSuspect(provider.id));
    return [...ranked.filter((provider) => !suspect.includes(provider)), ...suspect];
  }
}
