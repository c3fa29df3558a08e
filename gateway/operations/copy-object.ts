import type { IncomingHttpHeaders } from 'node:http';
import { parseChecksumAlgorithm } from '../checksum-algorithm.ts';
import { parseWriteCondition } from '../conditions.ts';
import { parseCopySource } from '../copy-source.ts';
import { encryptionAnswer } from '../encryption-headers.ts';
import { parseObjectAttributes } from '../object-headers.ts';
import { objectOperation } from '../operation.ts';
import { S3Error } from '../s3-error.ts';
import { renderVersionId } from '../version-id.ts';
import { checksumElements } from '../xml/checksum-elements.ts';
import { textElement, xmlDocument, xmlTime } from '../xml/xml-writer.ts';

export const copyObject = objectOperation({
  name: 'CopyObject',
  method: 'PUT',
  headers: ['x-amz-copy-source'],
  takesEncryption: true,
  async handle(call) {
    const attributes = parseObjectAttributes(call);
    const replacesMetadata = parseDirective(call.headers, 'x-amz-metadata-directive');
    const replacesTags = parseDirective(call.headers, 'x-amz-tagging-directive');
    const checksumAlgorithm = parseChecksumAlgorithm(call.headers['x-amz-checksum-algorithm'] as string | undefined);
    const condition = parseWriteCondition(call.headers);
    const source = await parseCopySource(call);
    const { version, sourceVersionId } = await call.engine.objects.copy(
      {
        bucket: call.bucket.name,
        key: call.key,
        source,
        ownerId: call.caller.canonicalId,
        storageClass: attributes.storageClass,
        ...(replacesMetadata && { metadata: { headers: attributes.headers, userMetadata: attributes.userMetadata } }),
        ...(replacesTags && { tags: attributes.tags }),
        ...(checksumAlgorithm && { checksumAlgorithm }),
        ...(condition && { condition }),
      },
      call.signal,
    );
    return {
      status: 200,
      headers: {
        'content-type': 'application/xml',
        ...encryptionAnswer,
        'x-amz-copy-source-version-id': sourceVersionId === 'null' ? undefined : sourceVersionId,
        ...renderVersionId(call.bucket, version),
      },
      body: xmlDocument(
        'CopyObjectResult',
        textElement('LastModified', xmlTime(version.modifiedAtMs)),
        textElement('ETag', `"${version.etag}"`),
        ...checksumElements(version.checksum),
      ),
    };
  },
});

/** Whether a directive says REPLACE rather than COPY, the default. @throws S3Error InvalidArgument */
function parseDirective(headers: IncomingHttpHeaders, name: string): boolean {
  const value = (headers[name] as string | undefined) ?? 'COPY';
  if (value !== 'COPY' && value !== 'REPLACE') {
    throw new S3Error('InvalidArgument', `Unknown ${name.includes('tagging') ? 'tagging' : 'metadata'} directive.`, {
      ArgumentName: name,
      ArgumentValue: value,
    });
  }
  return value === 'REPLACE';
}
