import type { ProviderId, ProviderState } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { Fleet, Standing } from '../../placement/fleet.ts';
import { countHeld } from './count-held.ts';
import type { KeptProvider } from './fleet-roll.ts';
import { explainFault } from './probe-provider.ts';
import { type PublicLocation, withoutSecrets } from './provider-record.ts';

/** What operators see of a provider. Holds no secrets. */
export interface ProviderView {
  readonly id: ProviderId;
  readonly state: ProviderState;
  readonly stateSinceMs: number;
  /** How it does, whatever its state. */
  readonly standing: Standing;
  /** Why it is not open, where it should be. */
  readonly fault?: string;
  readonly operator: string;
  readonly country: string;
  readonly zone: string;
  readonly weight: number;
  readonly capacityBytes?: number;
  readonly location: PublicLocation;
  /** What was last measured; absent where it never was. */
  readonly totalBytes?: number;
  readonly freeBytes?: number;
  /** Of live stripes. */
  readonly heldShards: number;
  /** Estimated from the lengths of stripes. */
  readonly heldBytes: number;
}

export function viewFleet(
  entries: readonly KeptProvider[],
  fleet: Fleet,
  placements: readonly Placement[],
): ProviderView[] {
  const held = countHeld(placements);
  const views = entries.map(({ record, provider, error }): ProviderView => {
    const { id, state, stateSinceMs, operator, country, zone, weight, capacityBytes, location } = record;
    const capacity = fleet.capacityOf(id);
    const { shards = 0, bytes = 0 } = held.get(id) ?? {};
    return {
      id,
      state,
      stateSinceMs,
      standing: fleet.standingOf(id),
      ...(provider === undefined && error !== undefined && { fault: explainFault(error) }),
      operator,
      country,
      zone,
      weight,
      ...(capacityBytes !== undefined && { capacityBytes }),
      location: withoutSecrets(location),
      ...(capacity !== undefined && { totalBytes: capacity.totalBytes, freeBytes: capacity.freeBytes }),
      heldShards: shards,
      heldBytes: Math.round(bytes),
    };
  });
  return views.sort((a, b) => (a.id < b.id ? -1 : 1));
}
