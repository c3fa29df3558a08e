import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { silentLog } from '../../core/log.ts';
import { createMd5Lanes } from '../../crypto/md5/create-md5-lanes.ts';
import { laneBytes } from '../../crypto/md5/lane-buffer.ts';
import { createMd5Kernels } from '../../crypto/md5/md5-kernels.ts';
import { lanesMemoryBytes, Md5Lanes, type Md5Stream } from '../../crypto/md5/md5-lanes.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

const chunkBytes = 64 * 1024;
const emptyMd5 = 'd41d8cd98f00b204e9800998ecf8427e';

function createLanes(laneCount = 16) {
  const hashed = { lanes: 0, alone: 0 };
  const runs: { width: number; lanes: number; blocks: number }[] = [];
  const kernels = createMd5Kernels(lanesMemoryBytes(laneCount));
  const lanes = new Md5Lanes({
    kernels: {
      memory: kernels.memory,
      run(width, used, blocks) {
        runs.push({ width, lanes: used.length, blocks });
        kernels.run(width, used, blocks);
      },
    },
    laneCount,
    onHashed: (way, bytes) => {
      hashed[way] += bytes;
    },
  });
  return { lanes, hashed, runs };
}

/** Sends bytes in pieces of a size, and ends. */
async function digestOf(stream: Md5Stream, bytes: Uint8Array, pieceBytes = chunkBytes): Promise<string> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    // As a socket's buffer: it is used anew once the stream has taken it.
    const piece = Uint8Array.from(bytes.subarray(at, at + pieceBytes));
    await stream.update(piece);
    piece.fill(0xee);
    await nextTurn();
  }
  return stream.digest();
}

describe('MD5 in lanes', () => {
  it('hashes a stream alone by node:crypto, at once and without a copy from the second lane-full on', async () => {
    const { lanes, hashed, runs } = createLanes();
    const bytes = patternBytes(5 * laneBytes + 7, 1);
    const stream = lanes.openStream();
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const updating = stream.update(bytes.subarray(at, at + chunkBytes));
      assert.equal(updating === undefined, at !== laneBytes);
      await updating;
    }
    assert.equal(await stream.digest(), hash('md5', bytes));
    assert.deepEqual([runs, hashed], [[], { lanes: 0, alone: bytes.length }]);
  });

  it('keeps a stream in its lane that is known to be short, so that what comes of it later can be hashed together', async () => {
    const { lanes, hashed } = createLanes();
    const contents = [patternBytes(6 * laneBytes, 1), patternBytes(6 * laneBytes, 2)] as const;
    const first = lanes.openStream(contents[0].length);
    await first.update(contents[0].subarray(0, 2 * laneBytes));
    assert.deepEqual(hashed, { lanes: 0, alone: laneBytes });
    const second = lanes.openStream(contents[1].length);
    await Promise.all([first.update(contents[0].subarray(2 * laneBytes)), second.update(contents[1])]);
    assert.deepEqual(
      await Promise.all([first.digest(), second.digest()]),
      contents.map((bytes) => hash('md5', bytes)),
    );
    assert.ok(hashed.lanes > 8 * laneBytes);
  });

  it('hashes streams together that come in one turn, although the first fills its lane before there is another', async () => {
    const { lanes, hashed } = createLanes();
    const contents = Array.from({ length: 4 }, (_, index) => patternBytes(3 * laneBytes, index));
    const digests = await Promise.all(
      contents.map(async (bytes) => {
        const stream = lanes.openStream();
        await stream.update(bytes);
        return stream.digest();
      }),
    );
    assert.deepEqual(
      digests,
      contents.map((bytes) => hash('md5', bytes)),
    );
    assert.equal(hashed.alone, 0);
  });

  it('hashes what fits a lane in one call where it is alone, and what has no bytes', async () => {
    const { lanes, runs } = createLanes();
    for (const lengthBytes of [0, 1, 1000, laneBytes]) {
      const bytes = patternBytes(lengthBytes, 1);
      assert.equal(await digestOf(lanes.openStream(), bytes), hash('md5', bytes));
    }
    const [one, other] = [lanes.openStream(), lanes.openStream()];
    assert.deepEqual(await Promise.all([one.digest(), other.digest()]), [emptyMd5, emptyMd5]);
    assert.ok(runs.length <= 1);
  });

  it('hashes eight streams at once in one kernel', async () => {
    const { lanes, hashed, runs } = createLanes();
    const contents = Array.from({ length: 8 }, (_, index) => patternBytes(1_000_000, index));
    const digests = await Promise.all(contents.map((bytes) => digestOf(lanes.openStream(), bytes)));
    assert.deepEqual(
      digests,
      contents.map((bytes) => hash('md5', bytes)),
    );
    assert.equal(hashed.alone, 0);
    assert.ok(runs.every(({ width, lanes: used }) => width === 8 && used === 8));
    assert.ok(runs.length < 20, `${runs.length} runs`);
  });

  it('hashes as many streams at once as there are, and the rest in as wide kernels as they need', async () => {
    for (const [count, width] of [
      [2, 2],
      [3, 4],
      [5, 8],
    ] as const) {
      const { lanes, runs } = createLanes();
      const contents = Array.from({ length: count }, (_, index) => patternBytes(300_000, index));
      await Promise.all(contents.map((bytes) => digestOf(lanes.openStream(), bytes)));
      assert.ok(runs.every((run) => run.width === width && run.lanes === count));
    }
  });

  it('goes on in its lane where a stream is left alone', async () => {
    const { lanes, hashed } = createLanes();
    const [long, short] = [patternBytes(1_000_000, 1), patternBytes(200_000, 2)];
    const digests = await Promise.all([digestOf(lanes.openStream(), long), digestOf(lanes.openStream(), short)]);
    assert.deepEqual(digests, [hash('md5', long), hash('md5', short)]);
    assert.ok(hashed.lanes > 0 && hashed.alone > hashed.lanes);
  });

  it('never waits for a stream that sends nothing', async () => {
    const { lanes } = createLanes();
    const idle = lanes.openStream();
    await idle.update(patternBytes(100, 1));
    const bytes = patternBytes(700_001, 2);
    assert.equal(await digestOf(lanes.openStream(), bytes), hash('md5', bytes));
    assert.equal(await idle.digest(), hash('md5', patternBytes(100, 1)));
  });

  it('takes chunks that are longer than a lane, alone and not', async () => {
    const { lanes } = createLanes();
    const bytes = patternBytes(3 * laneBytes + 100, 3);
    assert.equal(await digestOf(lanes.openStream(), bytes, bytes.length), hash('md5', bytes));
    const streams = [lanes.openStream(), lanes.openStream(), lanes.openStream()];
    const digests = await Promise.all(streams.map((stream) => digestOf(stream, bytes, bytes.length)));
    assert.deepEqual(digests, Array(3).fill(hash('md5', bytes)));
  });

  it('sends streams to node:crypto where all lanes are taken, and has all lanes again later', async () => {
    const { lanes, hashed } = createLanes(2);
    for (let round = 0; round < 3; round++) {
      hashed.lanes = 0;
      const contents = Array.from({ length: 5 }, (_, index) => patternBytes(400_000 + index, index));
      const digests = await Promise.all(contents.map((bytes) => digestOf(lanes.openStream(), bytes)));
      assert.deepEqual(
        digests,
        contents.map((bytes) => hash('md5', bytes)),
      );
      assert.ok(hashed.lanes > 700_000, 'two of five streams had lanes');
    }
  });

  it('ends the wait of a stream that is given up, whose lane serves another', async () => {
    const { lanes, hashed } = createLanes(2);
    const [first, second] = [lanes.openStream(), lanes.openStream()];
    await first.update(patternBytes(100, 1));
    const wait = second.update(patternBytes(2 * laneBytes, 2));
    second.close();
    await wait;
    second.close();
    assert.throws(() => second.update(new Uint8Array(1)), /takes no bytes/);
    await assert.rejects(second.digest(), /cannot end/);
    const digest = first.digest();
    first.close();
    lanes.openStream().close();
    await nextTurn();
    await digest.catch(() => {});
    const contents = [patternBytes(300_000, 1), patternBytes(300_000, 2)];
    const digests = await Promise.all(contents.map((bytes) => digestOf(lanes.openStream(), bytes)));
    assert.deepEqual(
      digests,
      contents.map((bytes) => hash('md5', bytes)),
    );
    assert.ok(hashed.lanes > 500_000, 'both lanes are free again');
  });

  it('lets the event loop have its turn where there is much to do', async ({ mock }) => {
    const { lanes, runs } = createLanes(64);
    const streams = Array.from({ length: 64 }, () => lanes.openStream());
    let nowMs = 0;
    // To whoever asks, a run of the kernel takes a millisecond.
    mock.method(performance, 'now', () => nowMs++);
    const runsATurn: number[] = [];
    let isDone = false;
    const count = (): void => {
      runsATurn.push(runs.length);
      runs.length = 0;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const bytes = patternBytes(2 * laneBytes, 1);
    const digests = await Promise.all(
      streams.map(async (stream) => {
        await stream.update(bytes);
        return stream.digest();
      }),
    );
    isDone = true;
    assert.deepEqual(new Set(digests), new Set([hash('md5', bytes)]));
    assert.ok(
      runsATurn.every((count) => count <= 2),
      `${runsATurn}`,
    );
  });
});

interface Plan {
  readonly lengthBytes: number;
  readonly pieceBytes: number;
  readonly startTurn: number;
  /** After how many bytes it is given up. */
  readonly abortAt: number | undefined;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  lengthBytes: fc.oneof(fc.nat(200), fc.nat(5 * laneBytes)),
  pieceBytes: fc.oneof(fc.integer({ min: 1_000, max: 3 * laneBytes }), fc.constant(chunkBytes)),
  startTurn: fc.nat(6),
  abortAt: fc.option(fc.nat(5 * laneBytes), { nil: undefined, freq: 4 }),
});

describe('MD5 of 1 to 20 streams', () => {
  it("is node's, however they come and end", async () => {
    const { lanes } = createLanes(12);
    await fc.assert(
      fc.asyncProperty(fc.array(plan, { minLength: 1, maxLength: 20 }), async (plans) => {
        await Promise.all(
          plans.map(async ({ lengthBytes, pieceBytes, startTurn, abortAt = Number.POSITIVE_INFINITY }, seed) => {
            for (let turn = 0; turn < startTurn; turn++) await nextTurn();
            const stream = lanes.openStream();
            const bytes = patternBytes(lengthBytes, seed);
            for (let at = 0; at < lengthBytes; at += pieceBytes) {
              const wait = stream.update(bytes.subarray(at, at + pieceBytes));
              if (at + pieceBytes > abortAt) {
                stream.close();
                return wait;
              }
              await wait;
            }
            assert.equal(await stream.digest(), hash('md5', bytes));
          }),
        );
      }),
      { numRuns: 60 },
    );
    // Lanes that a stream had kept would leave fewer than 12.
    const twelve = Array.from({ length: 12 }, () => lanes.openStream());
    for (const stream of twelve) await stream.update(new Uint8Array(1));
    assert.equal(lanes.freeLanes, 0);
    for (const stream of twelve) stream.close();
    assert.equal(lanes.freeLanes, 12);
  });
});

describe('lanes that are created', () => {
  it('fall back to node:crypto with a warning where kernels are wrong or cannot be had', async () => {
    for (const create of [
      (): never => {
        throw new Error('no vectors here');
      },
      (ownBytes: number) => ({ ...createMd5Kernels(ownBytes), run: () => {} }),
    ]) {
      const warnings: string[] = [];
      const log = { ...silentLog, warn: (_: unknown, text: string) => void warnings.push(text) } as typeof silentLog;
      const lanes = createMd5Lanes({ log, onHashed: () => {}, create });
      assert.match(warnings.join(), /MD5 CANNOT/);
      const contents = [patternBytes(300_000, 1), patternBytes(300_000, 2)];
      const digests = await Promise.all(contents.map((bytes) => digestOf(lanes.openStream(), bytes)));
      assert.deepEqual(
        digests,
        contents.map((bytes) => hash('md5', bytes)),
      );
    }
  });
});
