import { encryptionAnswer, refuseCustomerKeyOfPart } from '../encryption-headers.ts';
import { parseUploadTarget, renderPartChecksum } from '../multipart-upload.ts';
import { objectOperation } from '../operation.ts';
import { parsePartNumber } from '../part-number.ts';

export const uploadPart = objectOperation({
  name: 'UploadPart',
  method: 'PUT',
  query: { uploadId: true, partNumber: true },
  async handle(call) {
    refuseCustomerKeyOfPart(call.headers);
    const partNumber = parsePartNumber(call.query.get('partNumber') ?? '');
    const request = { ...parseUploadTarget(call), partNumber, payload: call.payload() };
    const part = await call.engine.uploads.putPart(request, call.signal);
    return {
      status: 200,
      headers: { etag: `"${part.etag}"`, ...encryptionAnswer, ...renderPartChecksum(part.checksum) },
    };
  },
});
