import { S3Error } from './s3-error.ts';

/** What a request is about. Keys are exact: nothing is normalised, trimmed or joined. */
export type RequestTarget =
  | { readonly scope: 'service' }
  | { readonly scope: 'bucket'; readonly bucket: string }
  | { readonly scope: 'object'; readonly bucket: string; readonly key: string };

export type Scope = RequestTarget['scope'];

export interface ParsedUrl {
  /** As it came, undecoded: the signature covers this. */
  readonly rawPath: string;
  readonly rawQuery: string;
  readonly target: RequestTarget;
  /** Decoded; the first value of a repeated name counts. */
  readonly query: ReadonlyMap<string, string>;
}

const maxKeyBytes = 1024;

/**
 * Takes a request line's URL apart. The path is split before it is decoded, so that `%2F` in a bucket's place never
 * becomes a separator, and every byte of a key survives.
 *
 * @param domain the suffix for virtual-host style (`bucket.domain`), where one is configured
 * @throws S3Error InvalidURI, KeyTooLongError
 */
export function parseRequestUrl(url: string, host: string | undefined, domain: string | undefined): ParsedUrl {
  const originForm = url.startsWith('/') ? url : url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, '');
  const mark = originForm.indexOf('?');
  const rawPath = (mark < 0 ? originForm : originForm.slice(0, mark)) || '/';
  const rawQuery = mark < 0 ? '' : originForm.slice(mark + 1);
  if (!rawPath.startsWith('/')) throw new S3Error('InvalidURI', undefined, { URI: url });
  const bucketOfHost = domain === undefined ? undefined : bucketFromHost(host, domain);
  return { rawPath, rawQuery, target: parseTarget(rawPath, bucketOfHost), query: parseQuery(rawQuery) };
}

function bucketFromHost(host: string | undefined, domain: string): string | undefined {
  const name = host?.replace(/:\d+$/, '').toLowerCase();
  return name?.endsWith(`.${domain}`) ? name.slice(0, -domain.length - 1) : undefined;
}

function parseTarget(rawPath: string, bucketOfHost: string | undefined): RequestTarget {
  const path = rawPath.slice(1);
  if (bucketOfHost !== undefined)
    return path === '' ? { scope: 'bucket', bucket: bucketOfHost } : objectTarget(bucketOfHost, path);
  if (path === '') return { scope: 'service' };
  const slash = path.indexOf('/');
  const bucket = decode(slash < 0 ? path : path.slice(0, slash));
  if (bucket === '') throw new S3Error('InvalidURI', undefined, { URI: rawPath });
  const rawKey = slash < 0 ? '' : path.slice(slash + 1);
  return rawKey === '' ? { scope: 'bucket', bucket } : objectTarget(bucket, rawKey);
}

function objectTarget(bucket: string, rawKey: string): RequestTarget {
  return { scope: 'object', bucket, key: checkKey(decode(rawKey)) };
}

/** @throws S3Error KeyTooLongError */
export function checkKey(key: string): string {
  const bytes = Buffer.byteLength(key);
  if (bytes > maxKeyBytes) {
    throw new S3Error('KeyTooLongError', undefined, { Size: String(bytes), MaxSizeAllowed: String(maxKeyBytes) });
  }
  return key;
}

/** @throws S3Error InvalidURI where the escapes are not UTF-8 */
function decode(raw: string): string {
  if (!raw.includes('%')) return raw;
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new S3Error('InvalidURI', undefined, { URI: raw });
  }
}

const noQuery: ReadonlyMap<string, string> = new Map();

function parseQuery(rawQuery: string): ReadonlyMap<string, string> {
  if (rawQuery === '') return noQuery;
  const query = new Map<string, string>();
  for (const pair of rawQuery.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '));
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' '));
    if (!query.has(name)) query.set(name, value);
  }
  return query;
}
