import { createHash } from 'node:crypto';
import type { Value, Write } from './ledger.ts';

/** An upload that a client knows of. One request about it is made at a time. */
export interface KnownUpload {
  readonly key: string;
  readonly uploadId: string;
  /** Parts that were acknowledged. */
  readonly parts: Map<number, Value>;
  /** The request that has no answer yet, or whose answer never came. */
  open?:
    | { readonly kind: 'part'; readonly partNumber: number; readonly value: Value }
    | { readonly kind: 'abort' }
    | { readonly kind: 'complete'; readonly partNumbers: readonly number[]; readonly write: Write };
}

/** What completing an upload with these of its parts makes. */
export function joinParts(upload: KnownUpload, partNumbers: readonly number[]): Value {
  const parts = partNumbers.map((number) => upload.parts.get(number)!);
  const md5 = createHash('md5');
  for (const { etag } of parts) md5.update(Buffer.from(etag, 'hex'));
  return { etag: `${md5.digest('hex')}-${parts.length}`, bytes: Buffer.concat(parts.map(({ bytes }) => bytes)) };
}

export function renderParts(upload: KnownUpload, partNumbers: readonly number[]): string {
  const parts = partNumbers.map((number) => {
    return `<Part><PartNumber>${number}</PartNumber><ETag>"${upload.parts.get(number)!.etag}"</ETag></Part>`;
  });
  return `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
}

/**
 * Takes over what is listed after a crash; `listed` is undefined where there is no such upload. A completion stays open.
 *
 * @returns whether the upload is still there
 * @throws Error for a part that is lost, or that nobody wrote
 */
export function settleUpload(upload: KnownUpload, listed: ReadonlyMap<number, string> | undefined): boolean {
  const { open, parts, uploadId } = upload;
  if (listed === undefined) {
    if (open === undefined || open.kind === 'part') throw new Error(`upload ${uploadId} is lost`);
    return false;
  }
  const isOpen = (number: number): boolean => open?.kind === 'part' && open.partNumber === number;
  for (const number of parts.keys()) {
    if (!listed.has(number)) throw new Error(`part ${number} of upload ${uploadId} is lost`);
  }
  for (const [number, etag] of listed) {
    if (parts.get(number)?.etag === etag) continue;
    if (open?.kind !== 'part' || !isOpen(number) || open.value.etag !== etag) {
      throw new Error(`nobody wrote part ${number} of upload ${uploadId}, or it came back`);
    }
    parts.set(number, open.value);
  }
  if (open?.kind !== 'complete') delete upload.open;
  return true;
}
