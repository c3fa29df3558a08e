import { checksumHeader } from '../core/checksums.ts';
import type { OpenedObject, OpenObject } from '../engine/engine.ts';
import { parseRange, parseReadConditions } from './conditions.ts';
import { refuseCustomerKey } from './encryption-headers.ts';
import { renderChecksum, renderVersionHeaders } from './object-headers.ts';
import type { ObjectCall } from './operation.ts';
import { parsePartNumber } from './part-number.ts';
import { S3Error } from './s3-error.ts';
import { isVersioned, parseVersionId } from './version-id.ts';

/** What GET and HEAD have in common: everything but the body. */
export async function openForRead(
  call: ObjectCall,
): Promise<{ object: OpenedObject; status: number; headers: Record<string, string | undefined> }> {
  refuseCustomerKey(call.headers);
  const request = parseOpenRequest(call);
  const object = await call.engine.objects.open(request);
  const headers = renderVersionHeaders(object.version, isVersioned(call.bucket));
  // Most reads have none of these, and then nothing is copied.
  if (call.query.size > 0) Object.assign(headers, renderOverrides(call.query));
  if (call.headers['x-amz-checksum-mode'] !== undefined)
    Object.assign(headers, renderReadChecksum(call, object, request.partNumber));
  headers['content-length'] = String(object.length);
  if (object.isPartial) headers['content-range'] = contentRange(object);
  if (request.partNumber !== undefined && object.version.parts.length > 0)
    headers['x-amz-mp-parts-count'] = String(object.version.parts.length);
  return { object, status: object.isPartial ? 206 : 200, headers };
}

function parseOpenRequest(call: ObjectCall): OpenObject {
  const range = parseRange(call.headers.range);
  const partNumberText = call.query.get('partNumber');
  const partNumber = partNumberText === undefined ? undefined : parsePartNumber(partNumberText);
  if (call.headers.range !== undefined && partNumber !== undefined) {
    throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter');
  }
  const conditions = parseReadConditions(call.headers);
  return {
    bucket: call.bucket.name,
    key: call.key,
    ...parseVersionId(call.query),
    ...(conditions && { conditions }),
    ...(range && { range }),
    ...(partNumber !== undefined && { partNumber }),
  };
}

function contentRange({ offset, length, version }: OpenedObject): string {
  return `bytes ${offset}-${offset + length - 1}/${version.sizeBytes}`;
}

const overridable = [
  'content-type',
  'content-language',
  'expires',
  'cache-control',
  'content-disposition',
  'content-encoding',
] as const;

/** `response-content-type` and its like: the client dictates the answer's headers. */
function renderOverrides(query: ReadonlyMap<string, string>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of overridable) {
    const value = query.get(`response-${name}`);
    if (value === undefined) continue;
    if (/[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]/.test(value)) {
      throw new S3Error('InvalidArgument', 'Header value cannot be represented using ISO-8859-1.', {
        ArgumentName: `response-${name}`,
        ArgumentValue: value,
      });
    }
    headers[name] = value;
  }
  return headers;
}

/** Checksums are given only when asked for, and only such as cover exactly the bytes of the answer. */
function renderReadChecksum(
  call: ObjectCall,
  object: OpenedObject,
  partNumber: number | undefined,
): Record<string, string> {
  if (String(call.headers['x-amz-checksum-mode']).toUpperCase() !== 'ENABLED') return {};
  const { checksum, parts, sizeBytes } = object.version;
  if (!checksum) return {};
  if (partNumber !== undefined && parts.length > 0) {
    const value = parts.find((part) => part.partNumber === partNumber)?.checksum;
    return value === undefined ? {} : { [checksumHeader(checksum.algorithm)]: value };
  }
  return object.length === sizeBytes ? renderChecksum(checksum) : {};
}
