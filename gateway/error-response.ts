import { isFailure } from '../core/failure.ts';
import { failureToS3Error } from './failure-table.ts';
import { hostId } from './request-id.ts';
import { S3Error } from './s3-error.ts';
import { errorDocument, textElement } from './xml/xml-writer.ts';

/** The S3 error for anything that was thrown; InternalError for what nobody expected. */
export function toS3Error(cause: unknown): S3Error {
  if (cause instanceof S3Error) return cause;
  if (isFailure(cause)) return failureToS3Error(cause);
  return new S3Error('InternalError');
}

/** The XML of an error. `resource` is the path that the client asked for. */
export function renderErrorDocument(error: S3Error, context: { requestId: string; resource: string }): string {
  return errorDocument(
    textElement('Code', error.code),
    textElement('Message', error.message),
    ...Object.entries(error.extra).map(([name, text]) => textElement(name, text)),
    textElement('Resource', context.resource),
    textElement('RequestId', context.requestId),
    textElement('HostId', hostId(context.requestId)),
  );
}
