import { S3Error } from '../s3-error.ts';

/** The body does not hold as many bytes as a header said. */
export function wrongByteCount(expectedBytes: number, providedBytes: number): S3Error {
  return new S3Error('IncompleteBody', undefined, {
    NumberBytesExpected: String(expectedBytes),
    NumberBytesProvided: String(providedBytes),
  });
}

/** The body ended, or stopped making sense, before its framing was complete. AWS has one error for both. */
export function brokenFraming(): S3Error {
  return new S3Error('IncompleteBody', 'The request body terminated unexpectedly');
}

/** node:http reports a client that went away with ECONNRESET and the like; our own mistakes carry no code. */
export function isConnectionError(error: unknown): boolean {
  return error instanceof Error && !(error instanceof S3Error) && 'code' in error;
}
