import type { IncomingHttpHeaders } from 'node:http';
import type { WriteCondition } from '../core/model.ts';
import type { RangeRequest, ReadConditions } from '../engine/engine.ts';
import { parseHttpDate } from './http-date.ts';
import { S3Error } from './s3-error.ts';

const conditionNames = {
  '': {
    ifMatch: 'if-match',
    ifNoneMatch: 'if-none-match',
    ifModifiedSince: 'if-modified-since',
    ifUnmodifiedSince: 'if-unmodified-since',
  },
  'x-amz-copy-source-': {
    ifMatch: 'x-amz-copy-source-if-match',
    ifNoneMatch: 'x-amz-copy-source-if-none-match',
    ifModifiedSince: 'x-amz-copy-source-if-modified-since',
    ifUnmodifiedSince: 'x-amz-copy-source-if-unmodified-since',
  },
} as const;

/** Conditions of GET and HEAD, or, with the prefix, of a copy's source. Dates that are none are ignored (RFC 9110). */
export function parseReadConditions(
  headers: IncomingHttpHeaders,
  prefix: '' | 'x-amz-copy-source-' = '',
): ReadConditions | undefined {
  const names = conditionNames[prefix];
  const ifMatch = parseETags(headers[names.ifMatch] as string | undefined);
  const ifNoneMatch = parseETags(headers[names.ifNoneMatch] as string | undefined);
  const ifModifiedSinceMs = parseDate(headers[names.ifModifiedSince] as string | undefined);
  const ifUnmodifiedSinceMs = parseDate(headers[names.ifUnmodifiedSince] as string | undefined);
  if (!ifMatch && !ifNoneMatch && ifModifiedSinceMs === undefined && ifUnmodifiedSinceMs === undefined)
    return undefined;
  return {
    ...(ifMatch && { ifMatch }),
    ...(ifNoneMatch && { ifNoneMatch }),
    ...(ifModifiedSinceMs !== undefined && { ifModifiedSinceMs }),
    ...(ifUnmodifiedSinceMs !== undefined && { ifUnmodifiedSinceMs }),
  };
}

/**
 * The condition of a conditional write. AWS knows `If-None-Match: *` and `If-Match` with one ETag; what else HTTP allows
 * is refused as AWS does, rather than ignored.
 * @throws S3Error NotImplemented
 */
export function parseWriteCondition(headers: IncomingHttpHeaders): WriteCondition | undefined {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifMatch !== undefined && ifNoneMatch !== undefined) throw unsupportedCondition('If-Match');
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*') throw unsupportedCondition('If-None-Match');
    return { kind: 'absent' };
  }
  if (ifMatch === undefined) return undefined;
  const etags = parseETags(ifMatch) ?? [];
  if (etags.length !== 1) throw unsupportedCondition('If-Match');
  return { kind: 'etag', etag: etags[0] as string };
}

/** The condition of a conditional delete: `If-Match` only. @throws S3Error NotImplemented */
export function parseDeleteCondition(
  headers: IncomingHttpHeaders,
): Extract<WriteCondition, { kind: 'etag' }> | undefined {
  if (headers['if-none-match'] !== undefined) throw unsupportedCondition('If-None-Match');
  for (const name of ['x-amz-if-match-last-modified-time', 'x-amz-if-match-size']) {
    if (headers[name] !== undefined) throw unsupportedCondition(name);
  }
  const condition = parseWriteCondition(headers);
  return condition?.kind === 'etag' ? condition : undefined;
}

function unsupportedCondition(header: string): S3Error {
  return new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented', {
    Header: header,
  });
}

/** ETags of a list, without quotes and `W/`; `*` stays. */
function parseETags(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  return text
    .split(',')
    .map((etag) =>
      etag
        .trim()
        .replace(/^W\//, '')
        .replace(/^"(.*)"$/, '$1'),
    )
    .filter((etag) => etag !== '');
}

function parseDate(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseHttpDate(text);
}

/** A Range header with one byte range; anything else is ignored, as RFC 9110 allows and AWS does. */
export function parseRange(text: string | undefined): RangeRequest | undefined {
  const match = text === undefined ? null : /^bytes=(\d*)-(\d*)$/.exec(text.trim());
  if (!match) return undefined;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === '') return last === '' ? undefined : { kind: 'suffix', length: Number(last) };
  if (last === '') return { kind: 'from', first: Number(first) };
  return Number(last) < Number(first) ? undefined : { kind: 'from', first: Number(first), last: Number(last) };
}
