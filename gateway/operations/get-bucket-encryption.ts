import { bucketOperation } from '../operation.ts';
import { element, textElement, xmlDocument } from '../xml/xml-writer.ts';

/** Every bucket has the one configuration that AWS gives a bucket of which nobody said anything. */
export const getBucketEncryption = bucketOperation({
  name: 'GetBucketEncryption',
  method: 'GET',
  query: { encryption: true },
  async handle() {
    return {
      status: 200,
      headers: { 'content-type': 'application/xml' },
      body: xmlDocument(
        'ServerSideEncryptionConfiguration',
        element(
          'Rule',
          element('ApplyServerSideEncryptionByDefault', textElement('SSEAlgorithm', 'AES256')),
          textElement('BucketKeyEnabled', 'false'),
        ),
      ),
    };
  },
});
