import type { DeleteOutcome } from '../engine/engine.ts';

/** The version headers of a DELETE's answer. */
export function renderDeleteOutcome(outcome: DeleteOutcome): Record<string, string> {
  switch (outcome.kind) {
    case 'removed':
      return {};
    case 'marker-created':
      return { 'x-amz-delete-marker': 'true', 'x-amz-version-id': outcome.versionId };
    case 'version-removed':
      return {
        'x-amz-version-id': outcome.versionId,
        ...(outcome.wasDeleteMarker && { 'x-amz-delete-marker': 'true' }),
      };
  }
}
