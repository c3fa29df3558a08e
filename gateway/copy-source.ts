import type { IncomingHttpHeaders } from 'node:http';
import type { CopySource } from '../engine/engine.ts';
import { parseReadConditions } from './conditions.ts';
import { refuseCustomerKey } from './encryption-headers.ts';
import type { ObjectCall } from './operation.ts';
import { checkKey } from './request-target.ts';
import { S3Error } from './s3-error.ts';

/**
 * The source of a copy, which the caller must be allowed to read. Its conditions come with it.
 * @throws S3Error InvalidArgument, AccessDenied; Failure `bucket-missing`
 */
export async function parseCopySource(call: ObjectCall): Promise<CopySource> {
  const { bucket, key, versionId } = parseCopySourceHeader(call.headers);
  refuseCustomerKey(call.headers, 'x-amz-copy-source-');
  const owner = (await call.engine.buckets.get(bucket)).ownerId;
  if (owner !== call.caller.canonicalId) throw new S3Error('AccessDenied');
  const conditions = parseReadConditions(call.headers, 'x-amz-copy-source-');
  return { bucket, key, ...(versionId !== undefined && { versionId }), ...(conditions && { conditions }) };
}

/** `bucket/key` or `/bucket/key`, percent-encoded, with an optional `?versionId=`. */
function parseCopySourceHeader(headers: IncomingHttpHeaders): {
  bucket: string;
  key: string;
  versionId: string | undefined;
} {
  const header = headers['x-amz-copy-source'] as string;
  // A raw `?` separates the version id; one that belongs to the key is encoded.
  const mark = header.lastIndexOf('?versionId=');
  const path = decode(mark < 0 ? header : header.slice(0, mark)).replace(/^\//, '');
  const versionId = mark < 0 ? undefined : decode(header.slice(mark + '?versionId='.length));
  const slash = path.indexOf('/');
  if (slash <= 0 || slash === path.length - 1) throw invalidSource(header);
  if (versionId === '')
    throw new S3Error('InvalidArgument', 'Version id cannot be the empty string', {
      ArgumentName: 'versionId',
      ArgumentValue: '',
    });
  return { bucket: path.slice(0, slash), key: checkKey(path.slice(slash + 1)), versionId };
}

function decode(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw invalidSource(raw);
  }
}

function invalidSource(value: string): S3Error {
  return new S3Error('InvalidArgument', 'Copy Source must mention the source bucket and key: sourcebucket/sourcekey', {
    ArgumentName: 'x-amz-copy-source',
    ArgumentValue: value,
  });
}
