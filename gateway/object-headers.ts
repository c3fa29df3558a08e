import type { IncomingHttpHeaders } from 'node:http';
import { checksumHeader } from '../core/checksums.ts';
import type { Bucket, Checksum, ContentHeaders, ObjectAttributes, ObjectVersion } from '../core/model.ts';
import { checkEncryptionHeader, encryptionAnswer } from './encryption-headers.ts';
import { decodeHeaderText, encodeHeaderText } from './header-text.ts';
import { formatHttpDate } from './http-date.ts';
import type { BucketCall } from './operation.ts';
import { S3Error } from './s3-error.ts';

const contentHeaderNames = {
  contentType: 'content-type',
  cacheControl: 'cache-control',
  contentDisposition: 'content-disposition',
  contentEncoding: 'content-encoding',
  contentLanguage: 'content-language',
  expires: 'expires',
  websiteRedirectLocation: 'x-amz-website-redirect-location',
} as const satisfies Record<keyof ContentHeaders, string>;
const contentHeaderEntries = Object.entries(contentHeaderNames) as [keyof ContentHeaders, string][];
/** Written out one by one where all of a version's headers are: it has a type in any case. */
const optionalContentHeaders = contentHeaderEntries.filter(([field]) => field !== 'contentType');

const metadataPrefix = 'x-amz-meta-';
/** Names and values of user metadata together, as AWS counts them. */
const maxMetadataBytes = 2048;

/**
 * Everything a client says about an object in the headers of PUT, POST ?uploads and copy. What says no storage class gets that of
 * its bucket.
 * @throws S3Error
 */
export function parseObjectAttributes({
  headers,
  storageClasses,
  bucket,
}: Pick<BucketCall, 'headers' | 'storageClasses' | 'bucket'>): ObjectAttributes {
  refuseUnsupported(headers);
  return {
    headers: parseContentHeaders(headers),
    userMetadata: parseUserMetadata(headers),
    tags: parseTagHeader(headers['x-amz-tagging'] as string | undefined),
    storageClass: parseStorageClass(headers, storageClasses, bucket),
  };
}

export function parseContentHeaders(headers: IncomingHttpHeaders): ContentHeaders {
  const parsed: Record<string, string> = {};
  for (const [field, name] of contentHeaderEntries) {
    const value = headers[name] as string | undefined;
    if (value !== undefined && value !== '') parsed[field] = value;
  }
  if (parsed.contentEncoding === undefined) return parsed;
  const encoding = withoutAwsChunked(parsed.contentEncoding);
  if (encoding === undefined) delete parsed.contentEncoding;
  else parsed.contentEncoding = encoding;
  return parsed;
}

/** `aws-chunked` names the framing of the upload, not the object's encoding. */
function withoutAwsChunked(encoding: string): string | undefined {
  if (!encoding.includes('aws-chunked')) return encoding;
  const kept = encoding
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== 'aws-chunked' && token !== '');
  return kept.length === 0 ? undefined : kept.join(',');
}

export function parseUserMetadata(headers: IncomingHttpHeaders): Record<string, string> {
  const metadata: [name: string, value: string][] = [];
  let bytes = 0;
  for (const name in headers) {
    if (!name.startsWith(metadataPrefix)) continue;
    const value = decodeHeaderText(String(headers[name]));
    const key = name.slice(metadataPrefix.length);
    metadata.push([key, value]);
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > maxMetadataBytes) {
    throw new S3Error('MetadataTooLarge', undefined, { Size: String(bytes), MaxSizeAllowed: String(maxMetadataBytes) });
  }
  if (metadata.length === 0) return {};
  // Not by assignment, which would lose a name such as __proto__.
  return Object.fromEntries(metadata);
}

function parseStorageClass(
  headers: IncomingHttpHeaders,
  storageClasses: readonly string[],
  { profileName }: Pick<Bucket, 'profileName'>,
): string {
  const name = (headers['x-amz-storage-class'] as string | undefined) ?? profileName ?? 'STANDARD';
  if (!storageClasses.includes(name))
    throw new S3Error('InvalidStorageClass', undefined, { StorageClassRequested: name });
  return name;
}

/** Tags as in `x-amz-tagging: a=1&b=2`. @throws S3Error InvalidArgument, InvalidTag */
export function parseTagHeader(text: string | undefined): Record<string, string> {
  if (text === undefined || text === '') return {};
  const tags: [string, string][] = [];
  for (const pair of text.split('&')) {
    const [key = '', value = '', ...rest] = pair.split('=');
    if (rest.length > 0) throw malformedTagHeader();
    tags.push([decodeTag(key), decodeTag(value)]);
  }
  return checkTags(tags);
}

function decodeTag(raw: string): string {
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '));
  } catch {
    throw malformedTagHeader();
  }
}

function malformedTagHeader(): S3Error {
  return new S3Error(
    'InvalidArgument',
    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
    {
      ArgumentName: 'x-amz-tagging',
    },
  );
}

/** AWS's rules for tags: at most 10, keys of 1 to 128 and values of up to 256 characters of a limited set, no key twice. @throws S3Error */
export function checkTags(tags: readonly (readonly [key: string, value: string])[]): Record<string, string> {
  if (tags.length > 10) throw new S3Error('InvalidTag', 'Object tags cannot be greater than 10');
  const checked = new Map<string, string>();
  for (const [key, value] of tags) {
    if (key.startsWith('aws:'))
      throw new S3Error('InvalidTag', 'System tags cannot be added/updated by requester', { TagKey: key });
    if (key.length < 1 || key.length > 128 || !tagCharacters.test(key))
      throw new S3Error('InvalidTag', 'The TagKey you have provided is invalid', { TagKey: key });
    if (value.length > 256 || !tagCharacters.test(value))
      throw new S3Error('InvalidTag', 'The TagValue you have provided is invalid', { TagKey: key, TagValue: value });
    if (checked.has(key))
      throw new S3Error('InvalidTag', 'Cannot provide multiple Tags with the same key', { TagKey: key });
    checked.set(key, value);
  }
  return Object.fromEntries(checked);
}

const tagCharacters = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;

/** What was asked for and cannot be given is refused; to drop it silently would be a lie. @throws S3Error */
function refuseUnsupported(headers: IncomingHttpHeaders): void {
  for (const name in headers) {
    if (!name.startsWith('x-amz-')) continue;
    if (name === 'x-amz-acl') checkCannedAcl(headers[name] as string);
    else if (name.startsWith('x-amz-server-side-encryption')) checkEncryptionHeader(name, String(headers[name]));
    else if (name.startsWith('x-amz-grant-')) throw new S3Error('AccessControlListNotSupported');
    else if (unsupportedHeaders.some((prefix) => name.startsWith(prefix))) {
      throw new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented', {
        Header: name,
      });
    }
  }
}

const unsupportedHeaders = ['x-amz-object-lock-', 'x-amz-write-offset-bytes'] as const;

/** Buckets here belong wholly to their owner, as in AWS since 2023; an ACL that says just that is taken. */
function checkCannedAcl(acl: string): void {
  if (acl !== 'private' && acl !== 'bucket-owner-full-control') throw new S3Error('AccessControlListNotSupported');
}

/** The headers of GET and HEAD that describe a version. */
export function renderVersionHeaders(version: ObjectVersion, isVersioned: boolean): Record<string, string | undefined> {
  const rendered: Record<string, string | undefined> = {
    'last-modified': formatHttpDate(version.modifiedAtMs),
    etag: `"${version.etag}"`,
    'accept-ranges': 'bytes',
    'content-type': version.headers.contentType ?? 'binary/octet-stream',
    ...encryptionAnswer,
    'x-amz-version-id': isVersioned ? version.versionId : undefined,
    'x-amz-storage-class': version.storageClass === 'STANDARD' ? undefined : version.storageClass,
  };
  for (const [field, name] of optionalContentHeaders) {
    const value = version.headers[field];
    if (value !== undefined) rendered[name] = value;
  }
  for (const name in version.userMetadata)
    rendered[metadataPrefix + name] = encodeHeaderText(version.userMetadata[name]!);
  const tagCount = Object.keys(version.tags).length;
  if (tagCount > 0) rendered['x-amz-tagging-count'] = String(tagCount);
  return rendered;
}

/** The checksum as response headers; none for none. */
export function renderChecksum(checksum: Checksum | undefined): Record<string, string> {
  if (!checksum) return {};
  return { [checksumHeader(checksum.algorithm)]: checksum.value, 'x-amz-checksum-type': checksum.type };
}
