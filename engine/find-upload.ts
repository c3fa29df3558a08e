import { Failure } from '../core/failure.ts';
import type { Upload } from '../core/model.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { UploadTarget } from './engine.ts';

/** @throws Failure `bucket-missing`, `upload-missing` */
export async function findUpload(
  { metadata }: { metadata: MetadataStore },
  { bucket, key, uploadId }: UploadTarget,
): Promise<Upload> {
  const upload = await metadata.findUpload(bucket, key, uploadId);
  if (upload === undefined) throw new Failure('upload-missing', { uploadId });
  return upload;
}
