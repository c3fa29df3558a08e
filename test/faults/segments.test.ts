import assert from 'node:assert/strict';
import { open, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { listSegmentFiles, listShardFiles, providerIds } from '../harness/shard-files.ts';
import { chooseProviders, type FaultyGateway, KiB, type ProviderName, startFaultyGateway } from './faulty-gateway.ts';

/** What becomes of a run of bytes in a segment. */
const damages = {
  'bit-flipped': (bytes: Buffer): Buffer => {
    const spoilt = Buffer.from(bytes);
    for (let at = 0; at < spoilt.length; at += 61) spoilt[at]! ^= 1 << (at & 7);
    return spoilt;
  },
  zeroed: (bytes: Buffer): Buffer => Buffer.alloc(bytes.length),
  shifted: (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(1), bytes.subarray(0, 1)]),
  overwritten: (bytes: Buffer): Buffer => patternBytes(bytes.length, 'anything'),
} as const;
type DamageName = keyof typeof damages;

/** A segment as far as anything was written to it. */
interface Segment {
  readonly path: string;
  readonly bytes: Buffer;
}

describe('segments that are damaged on disk', () => {
  let gateway: FaultyGateway;
  const sizes = [1, 100, 4 * KiB, 10 * KiB, 60 * KiB, 120 * KiB];
  const objects = Array.from({ length: 24 }, (_, turn) => {
    const key = `small-${turn}`;
    return { key, bytes: patternBytes(sizes[turn % sizes.length]!, key) };
  });
  const segments = new Map<ProviderName, Segment[]>();

  before(async () => {
    gateway = await startFaultyGateway();
    // Some together, some alone.
    await Promise.all(objects.slice(0, 16).map(({ key, bytes }) => gateway.put(key, bytes).then(assertOk)));
    for (const { key, bytes } of objects.slice(16)) assertOk(await gateway.put(key, bytes));
    await gateway.holdStill();
    for (const id of providerIds) {
      const paths = await listSegmentFiles(gateway.dataDir, id);
      segments.set(id, await Promise.all(paths.map(readSegment)));
    }
  });
  after(() => gateway.close());

  async function readSegment(path: string): Promise<Segment> {
    const bytes = await readFile(path);
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end -= 1;
    return { path, bytes: bytes.subarray(0, end) };
  }

  async function overwrite({ path }: Segment, bytes: Buffer): Promise<void> {
    const file = await open(path, 'r+');
    await file.write(bytes, 0, bytes.length, 0);
    await file.close();
  }

  async function inflict(name: DamageName, id: ProviderName, from: number): Promise<void> {
    for (const segment of segments.get(id) ?? []) {
      const start = Math.floor(from * segment.bytes.length);
      const spoilt = damages[name](segment.bytes.subarray(start));
      await overwrite(segment, Buffer.concat([segment.bytes.subarray(0, start), spoilt]));
    }
  }

  async function restore(): Promise<void> {
    for (const segment of [...segments.values()].flat()) await overwrite(segment, segment.bytes);
  }

  it('hold the shards of small objects at all six providers, and no file does', async () => {
    for (const id of providerIds) {
      assert.ok(
        (segments.get(id) ?? []).some(({ bytes }) => bytes.length > 10 * KiB),
        id,
      );
      assert.deepEqual(await listShardFiles(gateway.dataDir, id), []);
    }
  });

  it('do no harm, whatever the damage, wherever it begins, at any two providers', async () => {
    const names = fc.constantFrom(...(Object.keys(damages) as DamageName[]));
    const share = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    await fc.assert(
      fc.asyncProperty(
        names,
        names,
        fc.constantFrom(...chooseProviders(2)),
        share,
        async (first, second, pair, from) => {
          await inflict(first, pair[0]!, from);
          await inflict(second, pair[1]!, from / 2);
          for (const { key, bytes } of objects) await gateway.assertHolds(key, bytes, `${key} with ${pair}`);
          await restore();
        },
      ),
      { numRuns: 20 },
    );
  });

  it('never give wrong bytes, at whichever three providers: right ones or a clean 503', async () => {
    let lost = 0;
    for (const three of chooseProviders(3).filter((_, at) => at % 4 === 0)) {
      for (const id of three) await inflict('bit-flipped', id, 0);
      for (const { key, bytes } of objects) {
        const answer = await gateway.get(key);
        if (answer.status === 503) lost += 1;
        else assert.ok(bytes.equals(answer.body), `${key} without ${three}`);
      }
      await restore();
    }
    assert.ok(lost > 0, 'too little was damaged to tell');
  });
});
