import type { BucketQuery } from '../../engine/engine.ts';
import { decodeToken, encodeToken } from '../continuation-token.ts';
import { parseInt32 } from '../integer-parameter.ts';
import { invalidArgument } from '../invalid-argument.ts';
import { renderOwner } from '../listing.ts';
import { type ServiceCall, serviceOperation } from '../operation.ts';
import { element, textElement, xmlDocument, xmlTime } from '../xml/xml-writer.ts';

const maxBuckets = 10_000;
const pageParameters = ['max-buckets', 'continuation-token', 'prefix', 'bucket-region'] as const;

export const listBuckets = serviceOperation({
  name: 'ListBuckets',
  method: 'GET',
  async handle(call) {
    const page = await call.engine.buckets.list(parseQuery(call));
    // Regions came to this answer with its pages; clients that ask for none get it as it always was.
    const showsRegion = pageParameters.some((name) => call.query.has(name));
    const buckets = page.buckets.map((bucket) =>
      element(
        'Bucket',
        textElement('Name', bucket.name),
        textElement('CreationDate', xmlTime(bucket.createdAtMs)),
        textElement('BucketRegion', showsRegion ? bucket.region : undefined),
      ),
    );
    const last = page.buckets.at(-1);
    const body = xmlDocument(
      'ListAllMyBucketsResult',
      renderOwner(call.accounts, call.caller.canonicalId),
      element('Buckets', ...buckets),
      textElement('Prefix', call.query.get('prefix')),
      textElement('ContinuationToken', page.isTruncated && last ? encodeToken(last.name) : undefined),
    );
    return { status: 200, headers: { 'content-type': 'application/xml' }, body };
  },
});

function parseQuery({ query, caller, region }: ServiceCall): BucketQuery {
  const limit = parseInt32('max-buckets', query.get('max-buckets')) ?? maxBuckets;
  if (limit < 1 || limit > maxBuckets) {
    const message = `Argument max-buckets must be an integer between 1 and ${maxBuckets}`;
    throw invalidArgument(message, 'max-buckets', String(limit));
  }
  const wantedRegion = query.get('bucket-region');
  if (wantedRegion !== undefined) checkRegion(wantedRegion, region);
  const token = query.get('continuation-token');
  const prefix = query.get('prefix');
  return {
    ownerId: caller.canonicalId,
    limit,
    ...(prefix && { prefix }),
    ...(token && { after: decodeToken(token) }),
    ...(wantedRegion !== undefined && { region }),
  };
}

function checkRegion(wanted: string, region: string): void {
  if (wanted.toLowerCase() === region) return;
  const message = /^[a-z]{2}(-[a-z]+)+-\d+$/i.test(wanted)
    ? 'Requests with bucket-region specified must be made to the corresponding regional endpoint'
    : `Argument value ${wanted} is not a valid AWS Region`;
  throw invalidArgument(message, 'bucket-region');
}
