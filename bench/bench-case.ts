import type { TargetName } from './target.ts';

/** One row of the table: so many clients, each with one request after the other. */
export interface BenchCase {
  readonly name: string;
  readonly method: 'PUT' | 'GET';
  readonly sizeName: string;
  readonly bytes: number;
  readonly clients: number;
  /**
   * Requests that are signed beforehand and used in turn. A PUT that comes round again overwrites, so there are about as
   * many as one case sends; a GET finds so many objects.
   */
  readonly requestCount: number;
  /** What it is compared with; the gateway itself always last. */
  readonly targets: readonly TargetName[];
}

const KiB = 1024;
const MiB = 1024 * KiB;
const sizes = [
  { sizeName: '4KiB', bytes: 4 * KiB, clients: [1, 32, 128], puts: 65_536, gets: 2048 },
  { sizeName: '1MiB', bytes: MiB, clients: [1, 32], puts: 2048, gets: 64 },
  { sizeName: '64MiB', bytes: 64 * MiB, clients: [1], puts: 32, gets: 4 },
] as const;
/** Packs and segments are about small objects, and so is what they are compared with. */
const targetsOfSmall = {
  PUT: ['null', 'file', 'appends', 'fileShards', 'gateway'],
  GET: ['null', 'file', 'fileShards', 'gateway'],
} as const;
const targetsOfLarge = ['null', 'file', 'gateway'] as const;

export const benchCases: readonly BenchCase[] = sizes.flatMap(({ sizeName, bytes, clients, puts, gets }) =>
  clients.flatMap((count) =>
    (['PUT', 'GET'] as const).map((method) => ({
      name: `${method.toLowerCase()}-${sizeName}-${count}`,
      method,
      sizeName,
      bytes,
      clients: count,
      requestCount: method === 'PUT' ? puts : gets,
      targets: sizeName === '4KiB' ? targetsOfSmall[method] : targetsOfLarge,
    })),
  ),
);
