import type { IncomingHttpHeaders } from 'node:http';
import { isFailure } from '../../core/failure.ts';
import { checkBucketName } from '../bucket-name.ts';
import { newBucketOperation } from '../operation.ts';
import { S3Error } from '../s3-error.ts';
import { childText, parseXml } from '../xml/xml-reader.ts';

/** The region that has no location constraint, and where making one's own bucket again succeeds. */
const firstRegion = 'us-east-1';

export const createBucket = newBucketOperation({
  name: 'CreateBucket',
  method: 'PUT',
  async handle(call) {
    const { bucketName: name, region } = call;
    checkBucketName(name);
    checkHeaders(call.headers);
    checkLocation(parseLocation(await call.xmlBody()), region);
    try {
      const ownerId = call.caller.canonicalId;
      await call.engine.buckets.create({ name, ownerId, region, createdAtMs: call.clock.now() });
    } catch (error) {
      if (!isFailure(error, 'bucket-exists') || error.detail.ownerId !== call.caller.canonicalId) throw error;
      if (region !== firstRegion) throw new S3Error('BucketAlreadyOwnedByYou', undefined, { BucketName: name });
    }
    return { status: 200, headers: { location: `/${name}` } };
  },
});

/** Buckets belong wholly to their owner, which is AWS's default; headers that ask for something else are refused. */
function checkHeaders(headers: IncomingHttpHeaders): void {
  const acl = headers['x-amz-acl'];
  const grants = Object.keys(headers).some((name) => name.startsWith('x-amz-grant-'));
  if (grants || (acl !== undefined && acl !== 'private')) throw new S3Error('InvalidBucketAclWithObjectOwnership');
  const ownership = headers['x-amz-object-ownership'];
  if (ownership === 'BucketOwnerPreferred' || ownership === 'ObjectWriter')
    throw notImplemented('x-amz-object-ownership');
  if (ownership !== undefined && ownership !== 'BucketOwnerEnforced') {
    throw new S3Error('InvalidArgument', `Invalid x-amz-object-ownership header: ${ownership}`, {
      ArgumentName: 'x-amz-object-ownership',
    });
  }
  const lock = String(headers['x-amz-bucket-object-lock-enabled'] ?? 'false').toLowerCase();
  if (lock !== 'false') throw notImplemented('x-amz-bucket-object-lock-enabled');
}

function notImplemented(header: string): S3Error {
  return new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented', {
    Header: header,
  });
}

/** The region that the body asks for; undefined where it asks for none. */
function parseLocation(body: Uint8Array): string | undefined {
  if (body.length === 0) return undefined;
  const root = parseXml(body, 'CreateBucketConfiguration');
  for (const { name } of root.children) {
    if (name !== 'LocationConstraint') throw new S3Error('NotImplemented', `${name} is not implemented.`);
  }
  return childText(root, 'LocationConstraint') || undefined;
}

function checkLocation(location: string | undefined, region: string): void {
  if (location === region || (location === undefined && region === firstRegion)) return;
  if (location === 'EU' && region === 'eu-west-1') return;
  if (location === undefined || location === 'EU' || /^[a-z]{2}(-[a-z]+)+-\d+$/.test(location)) {
    const message = `The ${location ?? 'unspecified'} location constraint is incompatible for the region specific endpoint this request was sent to.`;
    throw new S3Error('IllegalLocationConstraintException', message);
  }
  throw new S3Error('InvalidLocationConstraint', undefined, { LocationConstraint: location });
}
