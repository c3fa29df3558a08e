import type { ProviderId, ProviderRecord } from '../../core/model.ts';
import type { FleetMember } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';

/** What the fleet knows of an active provider of which nobody said anything else. */
export function recordOf(id: string, settings: Partial<ProviderRecord> = {}): ProviderRecord {
  return {
    id: id as ProviderId,
    state: 'active',
    operator: '',
    country: '',
    zone: '',
    weight: 1,
    location: { kind: 'directory', path: `/nowhere/${id}`, reserveBytes: 0, segmentShardBytes: 0 },
    stateSinceMs: 0,
    ...settings,
  };
}

/** A member of a fleet, without a word of where it is. */
export function memberOf(provider: Provider, settings: Partial<ProviderRecord> = {}): FleetMember {
  return { record: recordOf(provider.id, settings), provider };
}
