import { bucketOperation } from '../operation.ts';
import { S3Error } from '../s3-error.ts';
import { childText, parseXml } from '../xml/xml-reader.ts';
import { checkChildren } from '../xml/xml-shape.ts';

export const putBucketVersioning = bucketOperation({
  name: 'PutBucketVersioning',
  method: 'PUT',
  query: { versioning: true },
  async handle(call) {
    await call.engine.buckets.setVersioning(call.bucket.name, parseState(await call.xmlBody()));
    return { status: 200 };
  },
});

function parseState(body: Uint8Array): 'enabled' | 'suspended' {
  if (body.length === 0) throw new S3Error('MissingRequestBodyError');
  const root = parseXml(body, 'VersioningConfiguration');
  checkChildren(root, 'Status', 'MfaDelete');
  const status = childText(root, 'Status');
  const mfaDelete = childText(root, 'MfaDelete') ?? 'Disabled';
  if (mfaDelete === 'Enabled') throw new S3Error('NotImplemented', 'MFA delete is not implemented.');
  if (mfaDelete !== 'Disabled') throw new S3Error('MalformedXML');
  if (status === undefined) {
    throw new S3Error('IllegalVersioningConfigurationException', 'The Versioning element must be specified');
  }
  if (status === 'Enabled') return 'enabled';
  if (status === 'Suspended') return 'suspended';
  throw new S3Error('MalformedXML');
}
