import { parseCount } from '../integer-parameter.ts';
import { invalidArgument } from '../invalid-argument.ts';
import { maxPageEntries, parseKeyEncoding, parseKeyRange, renderCommonPrefixes, renderContents } from '../listing.ts';
import { bucketOperation } from '../operation.ts';
import { textElement, xmlDocument } from '../xml/xml-writer.ts';

/** The first version of the listing. Any list-type but 2 means this one, as in AWS. */
export const listObjects = bucketOperation({
  name: 'ListObjects',
  method: 'GET',
  async handle({ query, bucket, engine, accounts }) {
    refuseSecondVersion(query);
    const maxKeys = parseCount('max-keys', query.get('max-keys'), 'maxKeys') ?? maxPageEntries;
    const encoding = parseKeyEncoding(query);
    const range = parseKeyRange(query);
    const marker = query.get('marker') ?? '';
    const page = await engine.objects.list({
      bucket: bucket.name,
      ...range,
      limit: Math.min(maxKeys, maxPageEntries),
      ...(marker && { after: marker, skipPrefixOfAfter: true }),
    });
    const body = xmlDocument(
      'ListBucketResult',
      textElement('Name', bucket.name),
      textElement('Prefix', encoding.write(range.prefix ?? '')),
      textElement('Marker', encoding.write(marker)),
      // Without a delimiter clients go on from the last key; AWS gives no marker then.
      textElement('NextMarker', page.isTruncated && range.delimiter ? encoding.write(page.next ?? '') : undefined),
      textElement('MaxKeys', maxKeys),
      textElement('Delimiter', range.delimiter && encoding.write(range.delimiter)),
      textElement('EncodingType', encoding.name),
      textElement('IsTruncated', page.isTruncated),
      ...page.objects.map((object) => renderContents(object, encoding, accounts)),
      ...renderCommonPrefixes(page.commonPrefixes, encoding),
    );
    return { status: 200, headers: { 'content-type': 'application/xml', 'x-amz-bucket-region': bucket.region }, body };
  },
});

function refuseSecondVersion(query: ReadonlyMap<string, string>): void {
  const only = 'only supported in REST.GET.BUCKET with list-type=2';
  if (query.has('continuation-token')) throw invalidArgument(`continuation-token ${only}`, 'continuation-token');
  if (query.has('start-after')) throw invalidArgument(`startAfter ${only}`, 'start-after');
}
