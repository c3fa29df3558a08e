import type { Upload } from '../../core/model.ts';
import type { Accounts } from '../accounts.ts';
import { parseCount } from '../integer-parameter.ts';
import {
  type KeyEncoding,
  maxPageEntries,
  parseKeyEncoding,
  parseKeyRange,
  renderCommonPrefixes,
  renderOwner,
} from '../listing.ts';
import { bucketOperation } from '../operation.ts';
import { element, textElement, type Xml, xmlDocument, xmlTime } from '../xml/xml-writer.ts';

export const listMultipartUploads = bucketOperation({
  name: 'ListMultipartUploads',
  method: 'GET',
  query: { uploads: true },
  async handle({ query, bucket, engine, accounts }) {
    const limit = Math.min(parseCount('max-uploads', query.get('max-uploads')) ?? maxPageEntries, maxPageEntries);
    const encoding = parseKeyEncoding(query);
    const { prefix, delimiter } = parseKeyRange(query);
    const keyMarker = query.get('key-marker') ?? '';
    // AWS overlooks an upload's marker that has no key's.
    const uploadIdMarker = keyMarker === '' ? '' : (query.get('upload-id-marker') ?? '');
    const page = await engine.uploads.list({
      bucket: bucket.name,
      limit,
      ...(prefix && { prefix }),
      ...(delimiter && { delimiter }),
      ...(keyMarker && { keyMarker }),
      ...(uploadIdMarker && { uploadIdMarker }),
    });
    const body = xmlDocument(
      'ListMultipartUploadsResult',
      textElement('Bucket', bucket.name),
      textElement('KeyMarker', encoding.write(keyMarker)),
      textElement('UploadIdMarker', uploadIdMarker),
      textElement('NextKeyMarker', encoding.write(page.nextKeyMarker ?? '')),
      textElement('NextUploadIdMarker', page.nextUploadIdMarker ?? ''),
      textElement('Delimiter', delimiter && encoding.write(delimiter)),
      textElement('Prefix', prefix && encoding.write(prefix)),
      textElement('MaxUploads', limit),
      textElement('EncodingType', encoding.name),
      textElement('IsTruncated', page.isTruncated),
      ...page.uploads.map((upload) => renderUpload(upload, encoding, accounts)),
      ...renderCommonPrefixes(page.commonPrefixes, encoding),
    );
    return { status: 200, headers: { 'content-type': 'application/xml' }, body };
  },
});

function renderUpload(upload: Upload, encoding: KeyEncoding, accounts: Accounts): Xml {
  return element(
    'Upload',
    textElement('Key', encoding.write(upload.key)),
    textElement('UploadId', upload.uploadId),
    renderOwner(accounts, upload.initiatorId, 'Initiator'),
    renderOwner(accounts, upload.ownerId),
    textElement('StorageClass', upload.attributes.storageClass),
    textElement('Initiated', xmlTime(upload.initiatedAtMs)),
    textElement('ChecksumAlgorithm', upload.checksumAlgorithm),
    textElement('ChecksumType', upload.checksumType),
  );
}
