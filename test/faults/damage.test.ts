import assert from 'node:assert/strict';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { listShardFiles, providerIds, providerPath } from '../harness/shard-files.ts';
import {
  chooseProviders,
  type FaultyGateway,
  objectSizes,
  type ProviderName,
  startFaultyGateway,
} from './faulty-gateway.ts';

interface ShardFile {
  readonly path: string;
  readonly bytes: Buffer;
}

/** What becomes of a provider's shards. `at` says where, from 0 to 1; the others are those that it could take them for. */
type Damage = (file: ShardFile, at: number, others: readonly ShardFile[]) => Promise<void>;

const damages = {
  missing: ({ path }) => rm(path),
  truncated: ({ path, bytes }, at) => writeFile(path, bytes.subarray(0, Math.floor(at * bytes.length))),
  emptied: ({ path }) => writeFile(path, ''),
  'bit-flipped': ({ path, bytes }, at) => {
    const spoilt = Buffer.from(bytes);
    const bit = Math.floor(at * bytes.length * 8);
    spoilt[bit >> 3]! ^= 1 << (bit & 7);
    return writeFile(path, spoilt);
  },
  zeroed: ({ path, bytes }, at) => {
    const spoilt = Buffer.from(bytes);
    spoilt.fill(0, Math.floor(at * bytes.length));
    return writeFile(path, spoilt);
  },
  shifted: ({ path, bytes }) => writeFile(path, Buffer.concat([Buffer.from('x'), bytes])),
  swapped: ({ path, bytes }, at, others) => {
    const valid = others.filter((other) => other.path !== path);
    const twins = valid.filter((other) => other.bytes.length === bytes.length);
    const from = twins.length > 0 ? twins : valid;
    return writeFile(path, (from[Math.floor(at * from.length)] as ShardFile).bytes);
  },
} as const satisfies Record<string, Damage>;

type DamageName = keyof typeof damages;

describe('shards that are damaged on disk', () => {
  let gateway: FaultyGateway;
  const objects = Object.entries(objectSizes).map(([key, size]) => ({ key, bytes: patternBytes(size, key) }));
  const files = new Map<ProviderName, ShardFile[]>();
  const damaged = new Set<ProviderName>();

  before(async () => {
    gateway = await startFaultyGateway();
    for (const { key, bytes } of objects) {
      assertOk(await gateway.put(key, bytes));
      // So that there are other shards of the same length to be mistaken for the right ones.
      if (key !== 'long') assertOk(await gateway.put(`twin-of-${key}`, patternBytes(bytes.length, `twin of ${key}`)));
    }
    await gateway.holdStill();
    for (const id of providerIds) {
      const paths = await listShardFiles(gateway.dataDir, id);
      files.set(id, await Promise.all(paths.map(async (path) => ({ path, bytes: await readFile(path) }))));
    }
  });
  afterEach(restore);
  after(() => gateway.close());

  async function restore(): Promise<void> {
    for (const id of damaged) for (const { path, bytes } of files.get(id) ?? []) await writeFile(path, bytes);
    damaged.clear();
  }

  async function inflict(name: DamageName, ids: readonly ProviderName[], at: number): Promise<void> {
    const all = [...files.values()].flat();
    for (const id of ids) {
      damaged.add(id);
      for (const file of files.get(id) ?? []) await damages[name](file, at, all);
    }
  }

  it('lie at all six providers, each under the name of what it holds', () => {
    assert.deepEqual(
      providerIds.map((id) => (files.get(id)?.length ?? 0) >= 4),
      [true, true, true, true, true, true],
    );
    const names = [...files.values()].flat().map(({ path }) => path);
    assert.equal(new Set(names.map((path) => path.slice(path.lastIndexOf('/')))).size, names.length);
  });

  it('do no harm, whatever the damage, wherever it lies, at any two providers', async () => {
    const names = Object.keys(damages) as DamageName[];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.constantFrom(...names),
        fc.constantFrom(...chooseProviders(2)),
        fc.constantFrom(...objects),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        async (first, second, [a, b], { key, bytes }, at) => {
          await inflict(first, [a as ProviderName], at);
          await inflict(second, [b as ProviderName], at);
          await gateway.assertHolds(key, bytes);
          await restore();
        },
      ),
      { numRuns: 40 },
    );
  });

  for (const name of Object.keys(damages) as DamageName[]) {
    it(`at two providers do no harm where they are ${name}, to any object`, async () => {
      await inflict(name, ['p2', 'p5'], 0.37);
      for (const { key, bytes } of objects) await gateway.assertHolds(key, bytes);
    });

    it(`at three providers make a clean 503 where they are ${name}`, async () => {
      await inflict(name, ['p1', 'p3', 'p6'], 0.37);
      await gateway.assertUnavailable('middle');
    });
  }

  it('do no harm where two whole directories are gone', async () => {
    for (const pair of [
      ['p1', 'p2'],
      ['p3', 'p4'],
      ['p5', 'p6'],
    ] as const) {
      const paths = pair.map((id) => providerPath(gateway.dataDir, id));
      for (const path of paths) await rename(path, `${path}.gone`);
      for (const { key, bytes } of objects) await gateway.assertHolds(key, bytes, `${key} without ${pair}`);
      for (const path of paths) await rename(`${path}.gone`, path);
    }
  });
});
