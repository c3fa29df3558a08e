import type { TargetName } from './target.ts';

const operations = ['put', 'get', 'range', 'list', 'mixed'] as const;
export type Operation = (typeof operations)[number];

/** One row of a table: so many clients, each with one request after the other. */
export interface BenchCase {
  readonly name: string;
  readonly operation: Operation;
  readonly sizeName: SizeName;
  /** Of each object. */
  readonly bytes: number;
  readonly clients: number;
  /** What the gateway is compared with: a server that does only what cannot be left out. */
  readonly limit: TargetName;
  /** Gateways of which providers are dead are measured as well. */
  readonly isWithDead: boolean;
  /** Belongs to what `--quick` runs where no case is named. */
  readonly isInQuick: boolean;
}

const KiB = 1024;
const MiB = 1024 * KiB;
const sizes = { '4KiB': 4 * KiB, '64KiB': 64 * KiB, '1MiB': MiB, '64MiB': 64 * MiB } as const;
export type SizeName = keyof typeof sizes;

/** Keys of a page that `list` asks for. */
export const pageKeys = 1000;
/** A range is a quarter of the object, and no longer than this. */
export const maxRangeBytes = MiB;

type Row = readonly [operation: Operation, sizeName: SizeName, clients: readonly number[], inQuick?: readonly number[]];

const rows: readonly Row[] = [
  ...(['put', 'get'] as const).flatMap((operation): Row[] => [
    [operation, '4KiB', [1, 8, 32, 128], [1, 32]],
    [operation, '64KiB', [1, 8, 32, 128], [32]],
    [operation, '1MiB', [1, 8, 32, 128], [8]],
    // With more, a request takes so long that the rounds would measure when they end.
    [operation, '64MiB', [1, 8], [1]],
  ]),
  ['range', '1MiB', [1, 32]],
  ['range', '64MiB', [1, 8, 32], [8]],
  ['list', '4KiB', [1, 8, 32], [8]],
  ['mixed', '4KiB', [8, 32, 128], [32]],
  ['mixed', '64KiB', [32]],
  ['mixed', '1MiB', [8, 32], [8]],
];

const rowsWithDead: readonly Row[] = [
  ['get', '4KiB', [32]],
  ['get', '64KiB', [32], [32]],
  ['get', '1MiB', [8], [8]],
  ['get', '64MiB', [1]],
  ['put', '4KiB', [32]],
  ['put', '1MiB', [8], [8]],
  ['put', '64MiB', [1]],
  ['mixed', '64KiB', [32]],
];

/** A PUT of a large object cannot be answered without its MD5, as one of a small one cannot without HTTP. */
function findLimit(operation: Operation, sizeName: SizeName): TargetName {
  const isLarge = sizes[sizeName] >= MiB;
  return isLarge && (operation === 'put' || operation === 'mixed') ? 'md5' : 'null';
}

function expand(row: Row, isWithDead: boolean): BenchCase[] {
  const [operation, sizeName, clients, inQuick = []] = row;
  const what = operation === 'list' ? `list-${pageKeys}` : `${operation}-${sizeName}`;
  return clients.map((count) => ({
    name: `${isWithDead ? 'dead-' : ''}${what}-${count}`,
    operation,
    sizeName,
    bytes: sizes[sizeName],
    clients: count,
    limit: findLimit(operation, sizeName),
    isWithDead,
    isInQuick: inQuick.includes(count),
  }));
}

export const benchCases: readonly BenchCase[] = [
  ...rows.flatMap((row) => expand(row, false)),
  ...rowsWithDead.flatMap((row) => expand(row, true)),
];
