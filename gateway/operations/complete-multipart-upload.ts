import type { IncomingHttpHeaders } from 'node:http';
import { checksumHeader, isChecksumValue } from '../../core/checksums.ts';
import { isFailure } from '../../core/failure.ts';
import {
  type ChecksumAlgorithm,
  type ChecksumType,
  checksumAlgorithms,
  checksumTypes,
  type Upload,
} from '../../core/model.ts';
import type { CompleteUploadRequest, UploadTarget } from '../../engine/engine.ts';
import { parseWriteCondition } from '../conditions.ts';
import { encryptionAnswer } from '../encryption-headers.ts';
import { renderErrorDocument } from '../error-response.ts';
import { bareETag } from '../etag.ts';
import { invalidArgument } from '../invalid-argument.ts';
import { respondKeepingAlive, type SlowAnswer } from '../keep-alive-response.ts';
import { parseUploadTarget } from '../multipart-upload.ts';
import { type ObjectCall, objectOperation } from '../operation.ts';
import { maxPartNumber } from '../part-number.ts';
import { S3Error } from '../s3-error.ts';
import { renderVersionId } from '../version-id.ts';
import { checksumElements } from '../xml/checksum-elements.ts';
import { childText, parseXml, type XmlElement } from '../xml/xml-reader.ts';
import { checkChildren, requiredText } from '../xml/xml-shape.ts';
import { textElement, xmlDocument } from '../xml/xml-writer.ts';

type NamedPart = CompleteUploadRequest['parts'][number];

export const completeMultipartUpload = objectOperation({
  name: 'CompleteMultipartUpload',
  method: 'POST',
  query: { uploadId: true },
  async handle(call) {
    const target = parseUploadTarget(call);
    const headers = parseHeaders(call.headers);
    const parts = parseParts(await call.xmlBody({ checksumIsOf: 'object' }));
    const upload = await findUpload(call, target);
    if (upload) checkAgainstUpload(upload, parts, headers);
    const resource = `/${call.bucket.name}/${call.key}`;
    return respondKeepingAlive(complete(call, { ...target, ...headers, parts }), (error) =>
      renderErrorDocument(error, { requestId: call.requestId, resource }),
    );
  },
});

async function complete(call: ObjectCall, request: CompleteUploadRequest): Promise<SlowAnswer> {
  const completed = await call.engine.uploads.complete(request, call.signal);
  const { bucket, key } = call;
  return {
    status: 200,
    headers: { 'content-type': 'application/xml', ...encryptionAnswer, ...renderVersionId(bucket, completed) },
    body: xmlDocument(
      'CompleteMultipartUploadResult',
      textElement('Location', `${call.endpoint}/${bucket.name}/${encodeURIComponent(key)}`),
      textElement('Bucket', bucket.name),
      textElement('Key', key),
      textElement('ETag', `"${completed.etag}"`),
      ...checksumElements(completed.checksum),
    ),
  };
}

/** An upload that is gone may have been completed by the same request before; the engine knows. */
async function findUpload(call: ObjectCall, target: UploadTarget): Promise<Upload | undefined> {
  try {
    return await call.engine.uploads.get(target);
  } catch (error) {
    if (isFailure(error, 'upload-missing')) return undefined;
    throw error;
  }
}

function checkAgainstUpload(upload: Upload, parts: readonly NamedPart[], headers: CompletionHeaders): void {
  if (headers.checksumType !== undefined && headers.checksumType !== upload.checksumType) {
    const mode = upload.checksumType ?? 'null';
    const message = `The upload was created using the ${mode} checksum mode. The complete request must use the same checksum mode.`;
    throw new S3Error('InvalidRequest', message);
  }
  if (upload.checksumType !== 'COMPOSITE') return;
  const bare = parts.find((part) => !part.checksum);
  if (bare) {
    const algorithm = upload.checksumAlgorithm?.toLowerCase();
    const message = `The upload was created using a ${algorithm} checksum. The complete request must include the checksum for each part. It was missing for part ${bare.partNumber} in the request.`;
    throw new S3Error('InvalidRequest', message);
  }
}

type CompletionHeaders = Pick<CompleteUploadRequest, 'checksum' | 'checksumType' | 'expectedSizeBytes' | 'condition'>;

function parseHeaders(headers: IncomingHttpHeaders): CompletionHeaders {
  const condition = parseWriteCondition(headers);
  const checksum = parseObjectChecksum(headers);
  const checksumType = parseChecksumType(headers['x-amz-checksum-type'] as string | undefined);
  const size = headers['x-amz-mp-object-size'] as string | undefined;
  if (size !== undefined && !/^\d{1,15}$/.test(size)) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-mp-object-size header is invalid.');
  }
  return {
    ...(condition && { condition }),
    ...(checksum && { checksum }),
    ...(checksumType && { checksumType }),
    ...(size !== undefined && { expectedSizeBytes: Number(size) }),
  };
}

function parseChecksumType(name: string | undefined): ChecksumType | undefined {
  const type = checksumTypes.find((known) => known === name?.toUpperCase());
  if (name !== undefined && !type) {
    throw new S3Error('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.');
  }
  return type;
}

/** The whole object's checksum; a composite one ends with its part count, so the value is left to be compared. */
function parseObjectChecksum(headers: IncomingHttpHeaders): CompletionHeaders['checksum'] {
  const found = checksumAlgorithms.filter((algorithm) => headers[checksumHeader(algorithm)] !== undefined);
  const [algorithm, ...others] = found;
  if (others.length > 0) {
    const message = 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.';
    throw new S3Error('InvalidRequest', message);
  }
  return algorithm && { algorithm, value: headers[checksumHeader(algorithm)] as string };
}

function parseParts(body: Uint8Array): NamedPart[] {
  const root = parseXml(body, 'CompleteMultipartUpload');
  checkChildren(root, 'Part');
  if (root.children.length === 0 || root.children.length > maxPartNumber) throw new S3Error('MalformedXML');
  return root.children.map(parsePart);
}

const checksumNames: ReadonlyMap<string, ChecksumAlgorithm> = new Map(
  checksumAlgorithms.map((algorithm) => [`Checksum${algorithm}`, algorithm]),
);

function parsePart(element: XmlElement): NamedPart {
  checkChildren(element, 'PartNumber', 'ETag', ...checksumNames.keys());
  const number = requiredText(element, 'PartNumber').trim();
  if (!/^-?\d{1,9}$/.test(number)) throw new S3Error('MalformedXML');
  if (Number(number) < 1) throw invalidArgument('PartNumber must be >= 1', 'PartNumber', number);
  const checksum = parsePartChecksum(element);
  return {
    partNumber: Number(number),
    etag: bareETag(requiredText(element, 'ETag')),
    ...(checksum && { checksum }),
  };
}

function parsePartChecksum(element: XmlElement): NamedPart['checksum'] {
  const found = element.children.filter(({ name, text }) => checksumNames.has(name) && text !== '');
  const [first, ...others] = found;
  if (!first) return undefined;
  const algorithm = checksumNames.get(first.name) as ChecksumAlgorithm;
  const value = childText(element, first.name) as string;
  if (others.length > 0 || !isChecksumValue(algorithm, value)) {
    const given = found.map(({ name, text }) => `${name.slice('Checksum'.length)}:${text}`).join(';');
    throw invalidArgument('Invalid Base64 or multiple checksums present in request', 'Checksum', given);
  }
  return { algorithm, value };
}
