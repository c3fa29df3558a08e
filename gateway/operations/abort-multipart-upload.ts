import { parseUploadTarget } from '../multipart-upload.ts';
import { objectOperation } from '../operation.ts';

export const abortMultipartUpload = objectOperation({
  name: 'AbortMultipartUpload',
  method: 'DELETE',
  query: { uploadId: true },
  async handle(call) {
    await call.engine.uploads.abort(parseUploadTarget(call));
    return { status: 204 };
  },
});
