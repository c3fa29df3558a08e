import { commonPrefixOf, compareKeys, keyPastPrefix, nextKey } from './key-order.ts';

/** Where reading goes on: at `key`, or, with `after`, past the row of that rank among those of `key`. */
export interface KeyPosition {
  readonly key: string;
  readonly after?: number;
}

/** Rows in key order, and within a key in an order of their own. */
export interface KeyRows<Row> {
  /** The first rows from a position on whose key is below `until`, at most `limit`. */
  read(from: KeyPosition, until: string, limit: number): Row[];
  keyOf(row: Row): string;
  /** The position right after a row. */
  positionAfter(row: Row): KeyPosition;
}

export interface PageQuery {
  readonly prefix?: string;
  readonly delimiter?: string;
  readonly limit: number;
}

export interface KeyPage<Row> {
  readonly rows: readonly Row[];
  readonly commonPrefixes: readonly string[];
  readonly isTruncated: boolean;
  /** The entry that the page ends with. */
  readonly last: { readonly row: Row } | { readonly commonPrefix: string } | undefined;
}

/**
 * Where a listing starts that goes on after a marker. With `skipsPrefix`, a common prefix that the marker rolls up
 * into counts as given.
 */
export function positionAfterMarker(query: PageQuery, marker: KeyPosition, skipsPrefix: boolean): KeyPosition {
  const prefix = query.prefix ?? '';
  if (!marker.key.startsWith(prefix)) {
    return { key: compareKeys(marker.key, prefix) < 0 ? prefix : nextKey(marker.key) };
  }
  const given = skipsPrefix ? commonPrefixOf(marker.key, prefix, query.delimiter) : undefined;
  if (given !== undefined) return { key: keyPastPrefix(given) };
  return marker.after === undefined ? { key: nextKey(marker.key) } : marker;
}

/**
 * Reads one page of a listing. Rows are read in runs that grow while no common prefix turns up; a common prefix costs
 * one seek, past all that lies beneath it.
 */
export function readKeyPage<Row>(source: KeyRows<Row>, query: PageQuery, start: KeyPosition): KeyPage<Row> {
  const { delimiter, limit } = query;
  const prefix = query.prefix ?? '';
  const until = keyPastPrefix(prefix);
  const rows: Row[] = [];
  const commonPrefixes: string[] = [];
  let last: KeyPage<Row>['last'];
  let from = start;
  // One row past the limit is read, to know whether there is more.
  let run = delimiter ? 1 : limit + 1;
  let isEnd = limit === 0;
  while (!isEnd) {
    const read = source.read(from, until, run);
    let rolledUp: string | undefined;
    for (const row of read) {
      if (rows.length + commonPrefixes.length === limit) return { rows, commonPrefixes, isTruncated: true, last };
      rolledUp = commonPrefixOf(source.keyOf(row), prefix, delimiter);
      if (rolledUp !== undefined) break;
      rows.push(row);
      last = { row };
    }
    if (rolledUp !== undefined) {
      commonPrefixes.push(rolledUp);
      last = { commonPrefix: rolledUp };
      from = { key: keyPastPrefix(rolledUp) };
      run = 1;
    } else {
      isEnd = read.length < run;
      if (!isEnd) from = source.positionAfter(read.at(-1)!);
      run = Math.min(run * 4, limit + 1 - rows.length - commonPrefixes.length);
    }
  }
  return { rows, commonPrefixes, isTruncated: false, last };
}
