import { type Failure, isFailure } from '../../core/failure.ts';
import { S3Error } from '../s3-error.ts';

/** A refusal of the admin API, as its JSON says it. */
export class AdminError extends Error {
  readonly status: number;
  readonly code: string;
  /** Every fault of a request, where there are several to be told. */
  readonly faults: readonly string[];

  constructor(status: number, code: string, message: string, faults: readonly string[] = []) {
    super(message);
    this.name = 'AdminError';
    this.status = status;
    this.code = code;
    this.faults = faults;
  }
}

/** The refusal for anything that was thrown; undefined for what nobody expected. */
export function toAdminError(error: unknown): AdminError | undefined {
  if (error instanceof AdminError) return error;
  // Signatures are verified by the code that S3 requests pass, and its refusals are good here too.
  if (error instanceof S3Error) return new AdminError(error.status, error.code, error.message);
  return isFailure(error) ? fromFailure(error) : undefined;
}

function fromFailure(failure: Failure): AdminError | undefined {
  if (isFailure(failure, 'provider-unknown')) {
    return new AdminError(404, 'ProviderUnknown', `There is no provider ${failure.detail.providerId} in the fleet.`);
  }
  if (isFailure(failure, 'provider-in-use')) {
    const { providerId, reason } = failure.detail;
    return new AdminError(409, 'ProviderInUse', `Provider ${providerId}: ${reason}.`);
  }
  if (isFailure(failure, 'provider-refused')) {
    const { providerId, reason } = failure.detail;
    return new AdminError(422, 'ProviderRefused', `Provider ${providerId} cannot be used: ${reason}.`);
  }
  if (isFailure(failure, 'bucket-missing')) {
    return new AdminError(404, 'NoSuchBucket', `There is no bucket ${failure.detail.bucket}.`);
  }
  if (isFailure(failure, 'profile-missing')) {
    return new AdminError(400, 'InvalidProfile', `There is no profile ${failure.detail.profileName}.`);
  }
  return undefined;
}
