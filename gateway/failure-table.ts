import type { Failure, FailureDetails, FailureKind } from '../core/failure.ts';
import { formatHttpDate } from './http-date.ts';
import { S3Error } from './s3-error.ts';

type Table = { readonly [K in FailureKind]: (detail: FailureDetails[K]) => S3Error };

/** What each failure of the layers below means to an S3 client. A new kind fails the type check until it has a row. */
const table: Table = {
  'bucket-missing': ({ bucket }) => new S3Error('NoSuchBucket', undefined, { BucketName: bucket }),
  'bucket-exists': ({ bucket }) => new S3Error('BucketAlreadyExists', undefined, { BucketName: bucket }),
  'bucket-not-empty': ({ bucket }) => new S3Error('BucketNotEmpty', undefined, { BucketName: bucket }),
  'object-missing': ({ key }) => new S3Error('NoSuchKey', undefined, { Key: key }),
  'version-missing': ({ key, versionId }) =>
    new S3Error('NoSuchVersion', undefined, { Key: key, VersionId: versionId }),
  'delete-marker': deleteMarkerError,
  'upload-missing': ({ uploadId }) => new S3Error('NoSuchUpload', undefined, { UploadId: uploadId }),
  'part-invalid': ({ uploadId, partNumber }) =>
    new S3Error('InvalidPart', undefined, { UploadId: uploadId, PartNumber: String(partNumber) }),
  'part-order': ({ uploadId }) => new S3Error('InvalidPartOrder', undefined, { UploadId: uploadId }),
  'part-too-small': ({ partNumber, etag, sizeBytes, minBytes }) =>
    new S3Error('EntityTooSmall', undefined, {
      ProposedSize: String(sizeBytes),
      MinSizeAllowed: String(minBytes),
      PartNumber: String(partNumber),
      ETag: etag,
    }),
  'precondition-failed': ({ condition }) => new S3Error('PreconditionFailed', undefined, { Condition: condition }),
  'not-modified': ({ etag, modifiedAtMs }) =>
    new S3Error('NotModified', undefined, {}, { etag: `"${etag}"`, 'last-modified': formatHttpDate(modifiedAtMs) }),
  'range-not-satisfiable': ({ sizeBytes, range }) =>
    new S3Error(
      'InvalidRange',
      undefined,
      { RangeRequested: range, ActualObjectSize: String(sizeBytes) },
      { 'content-range': `bytes */${sizeBytes}` },
    ),
  'part-number-not-satisfiable': ({ partNumber, partCount }) =>
    new S3Error('InvalidPartNumber', undefined, {
      PartNumberRequested: String(partNumber),
      ActualPartCount: String(partCount),
    }),
  'digest-mismatch': digestError,
  'body-incomplete': ({ declaredBytes, receivedBytes }) =>
    new S3Error('IncompleteBody', undefined, {
      NumberBytesExpected: String(declaredBytes),
      NumberBytesReceived: String(receivedBytes),
    }),
  'object-too-large': ({ sizeBytes, maxBytes }) =>
    new S3Error('EntityTooLarge', undefined, { ProposedSize: String(sizeBytes), MaxSizeAllowed: String(maxBytes) }),
  'copy-source-too-large': ({ maxBytes }) =>
    new S3Error(
      'InvalidRequest',
      `The specified copy source is larger than the maximum allowable size for a copy source: ${maxBytes}`,
    ),
  'copy-onto-itself': () =>
    new S3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    ),
  'too-few-shards': () =>
    new S3Error(
      'ServiceUnavailable',
      'Too few of the providers that hold this object can be reached. Please try again later.',
    ),
  'too-few-writes': () =>
    new S3Error(
      'ServiceUnavailable',
      'Too few providers took the data for it to be safe. Nothing was stored. Please try again.',
    ),
  overloaded: () => new S3Error('SlowDown'),
  'storage-full': () => new S3Error('InsufficientStorage'),
  'profile-missing': ({ profileName }) =>
    new S3Error('InvalidStorageClass', undefined, { StorageClassRequested: profileName }),
  'size-mismatch': ({ expectedBytes, actualBytes }) =>
    new S3Error(
      'InvalidRequest',
      `The provided 'x-amz-mp-object-size' header value ${expectedBytes} does not match what was computed: ${actualBytes}`,
    ),
  'checksum-type-mismatch': ({ expected, actual }) =>
    new S3Error(
      'InvalidRequest',
      `Checksum Type mismatch occurred, expected checksum Type: ${awsAlgorithm(expected)}, actual checksum Type: ${awsAlgorithm(actual)}`,
    ),
  'shard-missing': internalError,
  'shard-corrupt': internalError,
  'package-corrupt': internalError,
  'provider-timeout': internalError,
  'provider-full': () => new S3Error('InsufficientStorage'),
  'provider-error': internalError,
  'provider-unknown': internalError,
  'provider-in-use': internalError,
  'provider-refused': internalError,
  'stripe-missing': internalError,
};

/** The S3 error for a failure. */
export function failureToS3Error<K extends FailureKind>(failure: Failure<K>): S3Error {
  return table[failure.kind](failure.detail);
}

/** As AWS writes algorithms in its messages. */
function awsAlgorithm(name: string): string {
  return name === 'none' ? 'null' : name.toLowerCase();
}

function internalError(): S3Error {
  return new S3Error('InternalError');
}

/** AWS answers 404 where the marker is merely the current version, and 405 where it was named. */
function deleteMarkerError(detail: FailureDetails['delete-marker']): S3Error {
  const headers = { 'x-amz-delete-marker': 'true', 'x-amz-version-id': detail.versionId };
  if (!detail.named) return new S3Error('NoSuchKey', undefined, { Key: detail.key }, headers);
  return new S3Error(
    'MethodNotAllowed',
    undefined,
    { Method: 'GET', ResourceType: 'DeleteMarker' },
    { ...headers, 'last-modified': formatHttpDate(detail.modifiedAtMs), allow: 'DELETE' },
  );
}

function digestError({ digest, expected, actual }: FailureDetails['digest-mismatch']): S3Error {
  switch (digest) {
    case 'sha256':
      return new S3Error('XAmzContentSHA256Mismatch', undefined, {
        ClientComputedContentSHA256: expected,
        S3ComputedContentSHA256: actual,
      });
    case 'md5':
      return new S3Error('BadDigest', 'The Content-MD5 you specified did not match what we received.', {
        ExpectedDigest: expected,
        CalculatedDigest: actual,
      });
    default:
      return new S3Error('BadDigest', `The ${digest} you specified did not match the calculated checksum.`);
  }
}
