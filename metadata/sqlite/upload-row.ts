import type { ChecksumAlgorithm, ChecksumType, Upload } from '../../core/model.ts';
import type { NameTable } from './name-table.ts';
import { decodeAttributes } from './version-row.ts';

/** A row of `uploads`. It is open until `completed_ms` is set. */
export interface UploadRow {
  readonly id: number;
  readonly upload_id: string;
  readonly bucket_id: number;
  readonly key: string;
  readonly owner: number;
  readonly initiator: number;
  readonly initiated_ms: number;
  readonly storage_class: number;
  readonly attributes: string | null;
  readonly checksum_algorithm: ChecksumAlgorithm | null;
  readonly checksum_type: ChecksumType | null;
  readonly completed_ms: number | null;
  readonly completion: string | null;
}

export const uploadColumns =
  'id, upload_id, bucket_id, key, owner, initiator, initiated_ms, storage_class, attributes, checksum_algorithm, ' +
  'checksum_type, completed_ms, completion';

export function toUpload(row: UploadRow, bucket: string, names: NameTable): Upload {
  return {
    uploadId: row.upload_id,
    bucket,
    key: row.key,
    ownerId: names.nameOf(row.owner),
    initiatorId: names.nameOf(row.initiator),
    initiatedAtMs: row.initiated_ms,
    attributes: decodeAttributes(row.attributes, names.nameOf(row.storage_class)),
    ...(row.checksum_algorithm !== null && { checksumAlgorithm: row.checksum_algorithm }),
    ...(row.checksum_type !== null && { checksumType: row.checksum_type }),
  };
}
