import { Failure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { explainFault } from './probe-provider.ts';

/** A change that the state of the fleet does not allow. */
export function inUse(providerId: ProviderId, reason: string): Failure {
  return new Failure('provider-in-use', { providerId, reason });
}

/** A provider that cannot be used where, or as, it is said to be. */
export function refused(providerId: ProviderId, cause: unknown): Failure {
  return new Failure('provider-refused', { providerId, reason: explainFault(cause) }, { cause });
}
