import type { ProviderId } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';
import type { FleetMember } from '../../placement/fleet.ts';
import type { Capacity } from '../../placement/providers/provider.ts';
import { countHeld } from './count-held.ts';

/**
 * Asks all members at once how much space they have; one that does not answer is left out. A bound that an operator has set
 * counts against what the member holds for this gateway, since its disk may hold other things as well.
 */
export async function measureFleet(
  members: readonly FleetMember[],
  listPlacements: () => Promise<readonly Placement[]>,
  signal: AbortSignal,
): Promise<Map<ProviderId, Capacity>> {
  const isBounded = members.some(({ record }) => record.capacityBytes !== undefined);
  const held = isBounded ? countHeld(await listPlacements()) : new Map<ProviderId, { bytes: number }>();
  const measured = new Map<ProviderId, Capacity>();
  await Promise.all(
    members.map(async ({ record: { id, capacityBytes = Number.POSITIVE_INFINITY }, provider }) => {
      const capacity = await provider.capacity(signal).catch(() => undefined);
      signal.throwIfAborted();
      if (capacity === undefined) return;
      const leftBytes = Math.max(0, capacityBytes - (held.get(id)?.bytes ?? 0));
      measured.set(id, {
        totalBytes: Math.min(capacity.totalBytes, capacityBytes),
        freeBytes: Math.min(capacity.freeBytes, leftBytes),
      });
    }),
  );
  return measured;
}
