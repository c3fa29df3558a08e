import type { IncomingHttpHeaders } from 'node:http';
import { checksums } from '../../core/checksums.ts';
import { type ChecksumAlgorithm, type ChecksumType, checksumTypes } from '../../core/model.ts';
import { parseChecksumAlgorithm } from '../checksum-algorithm.ts';
import { encryptionAnswer } from '../encryption-headers.ts';
import { parseObjectAttributes } from '../object-headers.ts';
import { objectOperation } from '../operation.ts';
import { S3Error } from '../s3-error.ts';
import { textElement, xmlDocument } from '../xml/xml-writer.ts';

export const createMultipartUpload = objectOperation({
  name: 'CreateMultipartUpload',
  method: 'POST',
  query: { uploads: true },
  takesEncryption: true,
  async handle(call) {
    const attributes = parseObjectAttributes(call);
    const { bucket, key } = call;
    const upload = await call.engine.uploads.create({
      bucket: bucket.name,
      key,
      ownerId: call.caller.canonicalId,
      attributes,
      ...parseChecksumChoice(call.headers),
    });
    return {
      status: 200,
      headers: {
        'content-type': 'application/xml',
        ...encryptionAnswer,
        'x-amz-checksum-algorithm': upload.checksumAlgorithm,
        'x-amz-checksum-type': upload.checksumType,
      },
      body: xmlDocument(
        'InitiateMultipartUploadResult',
        textElement('Bucket', bucket.name),
        textElement('Key', key),
        textElement('UploadId', upload.uploadId),
      ),
    };
  },
});

interface ChecksumChoice {
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly checksumType?: ChecksumType;
}

function parseChecksumChoice(headers: IncomingHttpHeaders): ChecksumChoice {
  const checksumAlgorithm = parseChecksumAlgorithm(headers['x-amz-checksum-algorithm'] as string | undefined);
  const typeName = headers['x-amz-checksum-type'] as string | undefined;
  const named = checksumTypes.find((type) => type === typeName?.toUpperCase());
  if (typeName !== undefined && !named) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.');
  }
  if (!checksumAlgorithm) {
    if (!named) return {};
    const message = 'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.';
    throw new S3Error('InvalidRequest', message);
  }
  const { types } = checksums[checksumAlgorithm];
  const checksumType = named ?? types[0];
  if (!types.includes(checksumType)) {
    const algorithm = checksumAlgorithm.toLowerCase();
    const message = `The ${checksumType} checksum type cannot be used with the ${algorithm} checksum algorithm.`;
    throw new S3Error('InvalidRequest', message);
  }
  return { checksumAlgorithm, checksumType };
}
