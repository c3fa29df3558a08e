import { describe, it } from 'node:test';
import { liveThrough } from './history.ts';
import type { ActOf, Step } from './steps.ts';
import type { WorldSetting } from './world.ts';

const KiB = 1024;
const tight: WorldSetting = { k: 4, m: 2, providerCount: 6, providerKind: 'memory' };
const wide: WorldSetting = { k: 2, m: 4, providerCount: 6, providerKind: 'memory' };

function put(key: ActOf<'put'>['key'], sizeBytes: number): ActOf<'put'> {
  const rest = { isUnsized: false, digest: 'right', condition: 'none', algorithm: undefined } as const;
  return { verb: 'put', key, sizeBytes, ...rest };
}

function part(partNumber: number, sizeBytes: number): ActOf<'part'> {
  return { verb: 'part', pick: 1, partNumber, sizeBytes, isUnsized: false, digest: 'right' };
}

function copyPart(partNumber: number, range: readonly [number, number]): ActOf<'copy-part'> {
  return { verb: 'copy-part', pick: 1, partNumber, source: 0, range: [...range] };
}

function lose(...picks: number[]): ActOf<'lose'>[] {
  return picks.map((pick) => ({ verb: 'lose', pick }));
}

const complete: ActOf<'complete'> = { verb: 'complete', pick: 0, keep: 0, flaw: 'none', condition: 'none' };
const upkeep: ActOf<'upkeep'> = { verb: 'upkeep' };
const age: ActOf<'age'> = { verb: 'age' };
const calm: ActOf<'calm'> = { verb: 'calm' };
const removeFirst: ActOf<'delete-version'> = { verb: 'delete-version', pick: 0 };

/**
 * Histories in which a broken engine was told from a right one, shrunk: those that random ones found, and those that
 * found faults which were built in to see whether they would be. A new one comes from what a failed run prints.
 */
const histories: readonly (readonly [name: string, setting: WorldSetting, steps: readonly Step[]])[] = [
  [
    'a stripe stays while one of two parts that were cut from it goes',
    tight,
    [put('a', 20 * KiB), copyPart(1, [0, 0.5]), copyPart(2, [0.2, 0.9]), part(2, 100), removeFirst, age, complete],
  ],
  [
    'a stripe stays while somebody reads it',
    wide,
    [put('a', 1300 * KiB), { verb: 'read', pick: 0 }, removeFirst, calm, upkeep, { verb: 'read-on', pick: 0 }],
  ],
  [
    'all stripes of an object of parts stay while somebody reads the first of them',
    tight,
    [
      part(1, 900 * KiB),
      part(2, 60 * KiB),
      complete,
      { verb: 'read', pick: 0 },
      removeFirst,
      calm,
      upkeep,
      { verb: 'read-on', pick: 0 },
    ],
  ],
  [
    'compaction that finds too few providers keeps nothing else from being done',
    wide,
    [put('a', 100_000), put('a/b', 60_000), put('a/c', 60_000), ...lose(0, 1, 3), age],
  ],
  [
    'compaction that is cut off at any moment loses nothing and leaves nothing behind',
    tight,
    Array.from({ length: 24 }, (_, at): Step[] => [
      put('a', 60_000),
      put('b', 70_000),
      put('/', 50_000),
      put('a/b', 5_000),
      { verb: 'tick', ms: 2_000 },
      {
        verb: 'crash',
        at,
        when: at % 2 === 0 ? 'before' : 'after',
        callee: at % 3 === 0 ? 'store' : 'providers',
        outer: upkeep,
      },
    ]).flat(),
  ],
  [
    'shards of a write under way are no orphans, however long it takes',
    tight,
    [{ verb: 'during', at: 13, when: 'after', outer: part(1, 47 * KiB), inner: age }, complete],
  ],
  [
    'a copy whose source is replaced meanwhile begins anew',
    tight,
    [
      put('a', 90 * KiB),
      {
        verb: 'during',
        at: 0,
        when: 'before',
        outer: {
          verb: 'copy',
          pick: 0,
          isNamed: false,
          key: 'b',
          replaces: false,
          condition: 'none',
          algorithm: 'SHA256',
        },
        inner: put('a', 50 * KiB),
      },
    ],
  ],
  [
    'a stripe that lacks two shards gets each of them back',
    wide,
    // In the end every byte depends on the two that were rebuilt.
    [...lose(1, 4), put('a', 700 * KiB), calm, ...lose(0, 2, 3, 5)],
  ],
  [
    'repair that is cut off at any moment begins anew',
    tight,
    Array.from({ length: 14 }, (_, at): Step[] => [
      { verb: 'lose', pick: at },
      put('a', 90 * KiB),
      { verb: 'crash', at, when: at % 2 === 0 ? 'before' : 'after', callee: 'providers', outer: calm },
      calm,
    ]).flat(),
  ],
  [
    'of several that each must be the first one is, and the others change nothing',
    tight,
    [
      {
        verb: 'together',
        races: [
          { verb: 'put', key: 'a', sizeBytes: 14, isAbsent: true },
          { verb: 'put', key: 'a', sizeBytes: 16 * KiB + 1, isAbsent: true },
          { verb: 'get', key: 'a' },
          { verb: 'put', key: 'a', sizeBytes: 70 * KiB, isAbsent: true },
        ],
      },
    ],
  ],
  [
    'an object of a part that was cut out of another one reads as it was cut, also after the other one is gone',
    tight,
    [put('a', 60 * KiB), copyPart(1, [0.3, 0.8]), { ...complete, keep: 1 }, { verb: 'delete-version', pick: 1 }, age],
  ],
  [
    'a write goes to a provider that is back but counts as down, where another one that is down is still gone',
    { k: 1, m: 2, providerCount: 3, providerKind: 'memory' },
    [
      put('a', 5000),
      ...lose(524),
      { verb: 'during', at: 10, when: 'before', outer: put('b', 20), inner: age },
      ...lose(3),
      { verb: 'return', pick: 549 },
      put('a', 3000),
    ],
  ],
  [
    'the null version goes from beneath newer ones when it is replaced',
    tight,
    [
      put('a', 1000),
      { verb: 'versioning', enable: true },
      put('a', 100),
      { verb: 'versioning', enable: false },
      put('a', 10),
      { verb: 'crash', at: 5, when: 'before', callee: 'providers', outer: put('a', 1) },
      { verb: 'delete', key: 'a', condition: 'none' },
    ],
  ],
];

describe('histories that went wrong once', () => {
  for (const [name, setting, steps] of histories) it(name, () => liveThrough(setting, steps));
});
