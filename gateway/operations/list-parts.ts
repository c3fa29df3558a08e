import { parseCount } from '../integer-parameter.ts';
import { maxPageEntries, renderOwner } from '../listing.ts';
import { parseUploadTarget, partChecksumElement } from '../multipart-upload.ts';
import { objectOperation } from '../operation.ts';
import { element, textElement, xmlDocument, xmlTime } from '../xml/xml-writer.ts';

export const listParts = objectOperation({
  name: 'ListParts',
  method: 'GET',
  query: { uploadId: true },
  async handle(call) {
    const { query, accounts, bucket, key } = call;
    const limit = Math.min(parseCount('max-parts', query.get('max-parts')) ?? maxPageEntries, maxPageEntries);
    const after = parseCount('part-number-marker', query.get('part-number-marker')) ?? 0;
    const { upload, parts, isTruncated } = await call.engine.uploads.listParts(parseUploadTarget(call), after, limit);
    const listed = parts.map((part) =>
      element(
        'Part',
        textElement('PartNumber', part.partNumber),
        textElement('LastModified', xmlTime(part.modifiedAtMs)),
        textElement('ETag', `"${part.etag}"`),
        textElement('Size', part.sizeBytes),
        partChecksumElement(part.checksum),
      ),
    );
    const body = xmlDocument(
      'ListPartsResult',
      textElement('Bucket', bucket.name),
      textElement('Key', key),
      textElement('UploadId', upload.uploadId),
      renderOwner(accounts, upload.initiatorId, 'Initiator'),
      renderOwner(accounts, upload.ownerId),
      textElement('StorageClass', upload.attributes.storageClass),
      textElement('PartNumberMarker', after),
      textElement('NextPartNumberMarker', parts.at(-1)?.partNumber ?? after),
      textElement('MaxParts', limit),
      textElement('IsTruncated', isTruncated),
      textElement('ChecksumAlgorithm', upload.checksumAlgorithm),
      textElement('ChecksumType', upload.checksumType),
      ...listed,
    );
    return { status: 200, headers: { 'content-type': 'application/xml' }, body };
  },
});
