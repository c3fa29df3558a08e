import { Failure, isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { hasErrorCode } from './durable-files.ts';
import type { ProviderCall } from './wrapped-provider.ts';

/** The calls that bring new data. */
const writeCalls: readonly ProviderCall[] = ['putShard', 'createShard', 'append', 'commit', 'writeRoot'];
const fullCodes = ['ENOSPC', 'EDQUOT', 'SQLITE_FULL'];
/** A disk that is mounted read-only, or a folder that may not be written to, takes no new data, but can be read. */
const refusedCodes = ['EROFS', 'EACCES', 'EPERM', 'SQLITE_READONLY'];

/** The failure that an error of a system call, or of the segments' index, means to callers. A failure stays as it is. */
export function explainDirectoryError(providerId: ProviderId, call: ProviderCall, error: unknown): Failure {
  if (isFailure(error)) return error;
  const isFull =
    hasErrorCode(error, ...fullCodes) || (writeCalls.includes(call) && hasErrorCode(error, ...refusedCodes));
  if (isFull) return new Failure('provider-full', { providerId }, { cause: error });
  return new Failure('provider-error', { providerId, call }, { cause: error });
}
