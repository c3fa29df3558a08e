import { bucketOperation } from '../operation.ts';
import { textElement, xmlDocument } from '../xml/xml-writer.ts';

const statuses = { unversioned: undefined, enabled: 'Enabled', suspended: 'Suspended' } as const;

export const getBucketVersioning = bucketOperation({
  name: 'GetBucketVersioning',
  method: 'GET',
  query: { versioning: true },
  async handle({ bucket }) {
    const body = xmlDocument('VersioningConfiguration', textElement('Status', statuses[bucket.versioning]));
    return { status: 200, headers: { 'content-type': 'application/xml' }, body };
  },
});
