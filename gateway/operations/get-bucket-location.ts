import { bucketOperation } from '../operation.ts';
import { textNode, xmlDocument } from '../xml/xml-writer.ts';

export const getBucketLocation = bucketOperation({
  name: 'GetBucketLocation',
  method: 'GET',
  query: { location: true },
  async handle({ bucket }) {
    // The first region has no name here, as in AWS.
    const constraint = bucket.region === 'us-east-1' ? '' : bucket.region;
    const body = xmlDocument('LocationConstraint', textNode(constraint));
    return { status: 200, headers: { 'content-type': 'application/xml' }, body };
  },
});
