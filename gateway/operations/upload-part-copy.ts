import { isFailure } from '../../core/failure.ts';
import type { CopiedPart, CopyPart } from '../../engine/engine.ts';
import { parseCopySource } from '../copy-source.ts';
import { encryptionAnswer, refuseCustomerKeyOfPart } from '../encryption-headers.ts';
import { invalidArgument } from '../invalid-argument.ts';
import { parseUploadTarget, partChecksumElement } from '../multipart-upload.ts';
import { type ObjectCall, objectOperation } from '../operation.ts';
import { parsePartNumber } from '../part-number.ts';
import { textElement, xmlDocument, xmlTime } from '../xml/xml-writer.ts';

const rangeHeader = 'x-amz-copy-source-range';

export const uploadPartCopy = objectOperation({
  name: 'UploadPartCopy',
  method: 'PUT',
  query: { uploadId: true, partNumber: true },
  headers: ['x-amz-copy-source'],
  async handle(call) {
    refuseCustomerKeyOfPart(call.headers);
    const partNumber = parsePartNumber(call.query.get('partNumber') ?? '');
    const range = parseRange(call.headers[rangeHeader] as string | undefined);
    const source = await parseCopySource(call);
    const request = { ...parseUploadTarget(call), partNumber, source, ...(range && { range }) };
    const { part, sourceVersionId } = await copyPart(call, request);
    const body = xmlDocument(
      'CopyPartResult',
      textElement('LastModified', xmlTime(part.modifiedAtMs)),
      textElement('ETag', `"${part.etag}"`),
      partChecksumElement(part.checksum),
    );
    const headers = {
      'content-type': 'application/xml',
      ...encryptionAnswer,
      'x-amz-copy-source-version-id': sourceVersionId === 'null' ? undefined : sourceVersionId,
    };
    return { status: 200, headers, body };
  },
});

/** Both ends must be there, unlike in a Range header. @throws S3Error InvalidArgument */
function parseRange(text: string | undefined): CopyPart['range'] {
  if (text === undefined) return undefined;
  const match = /^bytes=(\d+)-(\d+)$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2]);
  if (first <= last) return { first, last };
  const message = `The ${rangeHeader} value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy`;
  throw invalidArgument(message, rangeHeader, text);
}

/** A range beyond the source is an invalid argument here, where GET would answer 416. */
async function copyPart(call: ObjectCall, request: CopyPart): Promise<CopiedPart> {
  try {
    return await call.engine.uploads.copyPart(request, call.signal);
  } catch (error) {
    if (!isFailure(error, 'range-not-satisfiable')) throw error;
    const message = `Range specified is not valid for source object of size: ${error.detail.sizeBytes}`;
    throw invalidArgument(message, rangeHeader, call.headers[rangeHeader] as string);
  }
}
