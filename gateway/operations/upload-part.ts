import type { Upload } from '../../core/model.ts';
import type { Payload } from '../../core/payload.ts';
import { checkAlgorithm, parseUploadTarget, renderPartChecksum } from '../multipart-upload.ts';
import { objectOperation } from '../operation.ts';
import { parsePartNumber } from '../part-number.ts';

export const uploadPart = objectOperation({
  name: 'UploadPart',
  method: 'PUT',
  query: { uploadId: true, partNumber: true },
  async handle(call) {
    const partNumber = parsePartNumber(call.query.get('partNumber') ?? '');
    const target = parseUploadTarget(call);
    const upload = await call.engine.uploads.get(target);
    const payload = withAlgorithmOf(upload, call.payload());
    const part = await call.engine.uploads.putPart({ ...target, partNumber, payload }, call.signal);
    return { status: 200, headers: { etag: `"${part.etag}"`, ...renderPartChecksum(part.checksum) } };
  },
});

/** A part that names no checksum gets the upload's; the object's could not be computed without it. */
function withAlgorithmOf(upload: Upload, payload: Payload): Payload {
  if (payload.checksumAlgorithm) {
    checkAlgorithm(upload, payload.checksumAlgorithm);
    return payload;
  }
  if (!upload.checksumAlgorithm) return payload;
  return {
    bytes: payload.bytes,
    sizeBytes: payload.sizeBytes,
    checksumAlgorithm: upload.checksumAlgorithm,
    declaredDigests: () => payload.declaredDigests(),
  };
}
