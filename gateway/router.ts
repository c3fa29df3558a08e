import type { Operation } from './operation.ts';
import type { Scope } from './request-target.ts';
import { S3Error } from './s3-error.ts';

/**
 * Every subresource that S3 knows. A request that names one is about that subresource and nothing else: when no row of
 * the table claims it the answer is 501, so that `PUT key?acl` can never overwrite the object.
 */
export const subresources: ReadonlySet<string> = new Set([
  'abac', 'accelerate', 'acl', 'analytics', 'annotation', 'attributes', 'cors', 'delete', 'encryption',
  'intelligent-tiering', 'inventory', 'legal-hold', 'lifecycle', 'location', 'logging', 'metadataConfiguration',
  'metadataInventoryTable', 'metadataJournalTable', 'metadataTable', 'metrics', 'notification', 'object-lock',
  'ownershipControls', 'partNumber', 'policy', 'policyStatus', 'publicAccessBlock', 'renameObject', 'replication',
  'requestPayment', 'restore', 'retention', 'select', 'select-type', 'session', 'tagging', 'torrent', 'updateObjectEncryption',
  'uploadId', 'uploads', 'versioning', 'versions', 'website',
]); // biome-ignore format: a word list

/** Subresources that a row may leave unnamed: they only modify what it does. */
const modifiers: Readonly<Record<string, readonly string[]>> = {
  GetObject: ['partNumber'],
  HeadObject: ['partNumber'],
};

export type Routed =
  | { readonly kind: 'operation'; readonly operation: Operation }
  | { readonly kind: 'refused'; readonly error: S3Error };

/**
 * Finds the row for a request. Rank is computed from how much a row demands, so the order of the table means
 * nothing and no row can hide another.
 */
export class Router {
  readonly #rows = new Map<string, readonly Operation[]>();

  constructor(operations: readonly Operation[]) {
    const grouped = Map.groupBy(operations, (row) => `${row.method} ${row.scope}`);
    for (const [place, rows] of grouped) {
      this.#rows.set(
        place,
        rows.toSorted((a, b) => rank(b) - rank(a)),
      );
    }
  }

  route(
    method: string,
    scope: Scope,
    query: ReadonlyMap<string, string>,
    headers: Readonly<Record<string, unknown>>,
  ): Routed {
    const row = this.#rows.get(`${method} ${scope}`)?.find((candidate) => demandsAreMet(candidate, query, headers));
    const unclaimed =
      query.size === 0
        ? undefined
        : row
          ? unclaimedSubresource(row, query)
          : [...query.keys()].find((name) => subresources.has(name));
    if (unclaimed !== undefined) {
      return refuse('NotImplemented', `The subresource '${unclaimed}' is not implemented.`, { Header: unclaimed });
    }
    if (row) return { kind: 'operation', operation: row };
    return refuse('MethodNotAllowed', undefined, { Method: method, ResourceType: scope.toUpperCase() });
  }
}

function rank(row: Operation): number {
  const query = Object.values(row.query).reduce<number>((sum, value) => sum + (value === true ? 2 : 3), 0);
  return query + row.headers.length;
}

function demandsAreMet(
  row: Operation,
  query: ReadonlyMap<string, string>,
  headers: Readonly<Record<string, unknown>>,
): boolean {
  for (const name in row.query) {
    const wanted = row.query[name];
    if (wanted === true ? !query.has(name) : query.get(name) !== wanted) return false;
  }
  for (const name of row.headers) if (headers[name] === undefined) return false;
  return true;
}

function unclaimedSubresource(row: Operation, query: ReadonlyMap<string, string>): string | undefined {
  for (const name of query.keys()) {
    if (subresources.has(name) && !(name in row.query) && !modifiers[row.name]?.includes(name)) return name;
  }
  return undefined;
}

function refuse(
  code: 'NotImplemented' | 'MethodNotAllowed',
  message: string | undefined,
  extra: Record<string, string>,
): Routed {
  return { kind: 'refused', error: new S3Error(code, message, extra) };
}
