import type { ObjectQuery } from '../../engine/engine.ts';
import { decodeToken, encodeToken } from '../continuation-token.ts';
import { parseCount } from '../integer-parameter.ts';
import { invalidArgument } from '../invalid-argument.ts';
import { maxPageEntries, parseKeyEncoding, parseKeyRange, renderCommonPrefixes, renderContents } from '../listing.ts';
import { bucketOperation } from '../operation.ts';
import { textElement, xmlDocument } from '../xml/xml-writer.ts';

export const listObjectsV2 = bucketOperation({
  name: 'ListObjectsV2',
  method: 'GET',
  query: { 'list-type': '2' },
  async handle({ query, bucket, engine, accounts }) {
    if (query.has('marker')) throw invalidArgument('Marker unsupported with REST.GET.BUCKET in list-type=2', 'marker');
    const maxKeys = parseCount('max-keys', query.get('max-keys'), 'maxKeys') ?? maxPageEntries;
    const encoding = parseKeyEncoding(query);
    const range = parseKeyRange(query);
    const token = query.get('continuation-token');
    const startAfter = token === undefined ? query.get('start-after') : undefined;
    const page = await engine.objects.list({
      bucket: bucket.name,
      ...range,
      limit: Math.min(maxKeys, maxPageEntries),
      ...startOf(token, startAfter),
    });
    const fetchesOwner = query.get('fetch-owner') === 'true';
    const body = xmlDocument(
      'ListBucketResult',
      textElement('Name', bucket.name),
      textElement('Prefix', encoding.write(range.prefix ?? '')),
      textElement('StartAfter', startAfter === undefined ? undefined : encoding.write(startAfter)),
      textElement('ContinuationToken', token),
      textElement('NextContinuationToken', page.isTruncated ? encodeToken(page.next ?? '') : undefined),
      textElement('KeyCount', page.objects.length + page.commonPrefixes.length),
      textElement('MaxKeys', maxKeys),
      textElement('Delimiter', range.delimiter && encoding.write(range.delimiter)),
      textElement('EncodingType', encoding.name),
      textElement('IsTruncated', page.isTruncated),
      ...page.objects.map((object) => renderContents(object, encoding, fetchesOwner ? accounts : undefined)),
      ...renderCommonPrefixes(page.commonPrefixes, encoding),
    );
    return { status: 200, headers: { 'content-type': 'application/xml', 'x-amz-bucket-region': bucket.region }, body };
  },
});

/** A token says where a page of ours ended; `start-after` is any key, so what lies under the same prefix still counts. */
function startOf(token: string | undefined, startAfter: string | undefined): Partial<ObjectQuery> {
  if (token !== undefined) return { after: decodeToken(token), skipPrefixOfAfter: true };
  return startAfter ? { after: startAfter } : {};
}
