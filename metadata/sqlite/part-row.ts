import type { Part, PartSummary } from '../../core/model.ts';
import type { NameTable } from './name-table.ts';
import { decodeSpans } from './span-codec.ts';
import { decodeChecksum } from './version-row.ts';

/** A row of `parts` without its upload. */
export interface PartRow {
  readonly part_number: number;
  readonly number: number;
  readonly modified_ms: number;
  readonly size_bytes: number;
  readonly etag: string;
  readonly checksum_kind: number | null;
  readonly checksum_value: string | null;
  readonly spans: Buffer | null;
}

export const partColumns = 'part_number, number, modified_ms, size_bytes, etag, checksum_kind, checksum_value, spans';

export function toPart(row: PartRow, names: NameTable): Part {
  const checksum = decodeChecksum(row.checksum_kind, row.checksum_value, names);
  return {
    partNumber: row.part_number,
    modifiedAtMs: row.modified_ms,
    sizeBytes: row.size_bytes,
    etag: row.etag,
    ...(checksum && { checksum }),
    spans: decodeSpans(row.spans),
  };
}

export function toSummary(row: PartRow): PartSummary {
  const summary = { partNumber: row.part_number, sizeBytes: row.size_bytes };
  return row.checksum_value === null ? summary : { ...summary, checksum: row.checksum_value };
}
