import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type DurableStep, durableStepChannel } from '../../core/durable-steps.ts';
import { type Act, acts, type Doubt, doubtOf, runAct } from './random-acts.ts';
import { type LiveEngine, RecoveryWorld, readEverything, type SeenBucket } from './recovery-harness.ts';

/** Steps that an engine over providers in memory goes through. */
const steps: readonly DurableStep[] = [
  'pack-stored',
  'stripes-stored',
  'metadata-committing',
  'metadata-committed',
  'compaction-stored',
  'compaction-moved',
  'freed-deleted',
  'journal-stored',
  'journal-noted',
  'roots-written',
  'snapshot-stored',
  'snapshot-dropped',
];

const small = fc.nat(19);
const act: fc.Arbitrary<Act> = fc.record({
  name: fc.constantFrom(
    ...(Object.keys(acts) as Act['name'][]),
    'put',
    'put',
    'putTogether',
    'remove',
    'putPart',
    'complete',
  ),
  seed: fc.tuple(small, small, small, small),
});
const begin: readonly Act[] = [0, 1].map((bucket) => ({ name: 'createBucket', seed: [bucket, 0, 0, 0] }));
const history = fc.array(act, { minLength: 3, maxLength: 30 }).map((random) => [...begin, ...random]);
const missing = fc.uniqueArray(fc.nat(5), { maxLength: 2 });

describe('recovery of random histories', () => {
  it('gives every read verb the answers of before, but for deletes that the journal did not have', async () => {
    const property = fc.asyncProperty(history, history, missing, async (first, second, lost) => {
      const world = new RecoveryWorld();
      let live = await world.start();
      // Twice, since what was recovered must be recoverable as well.
      for (const some of [first, second]) {
        const doubts = await play(world, live, some);
        live = await loseAndCompare(world, live, doubts, lost);
      }
      await world.lose(live);
    });
    await fc.assert(property, { numRuns: 40 });
  });

  it('loses nothing that was acknowledged when it dies between two durable steps', async () => {
    const crash = fc.record({ step: fc.constantFrom(...steps), count: fc.integer({ min: 1, max: 6 }) });
    const property = fc.asyncProperty(history, crash, missing, async (some, { step, count }, lost) => {
      const world = new RecoveryWorld();
      const live = await world.start();
      let left = count;
      let running: Act | undefined;
      const doubts: Doubt[] = [];
      const onStep = (reached: unknown): void => {
        if (reached !== step || --left !== 0) return;
        world.freeze();
        if (running !== undefined) doubts.push(...doubtOf(running));
      };
      durableStepChannel.subscribe(onStep);
      try {
        doubts.push(
          ...(await play(world, live, some, (each) => {
            running = each;
            return left > 0;
          })),
        );
      } finally {
        durableStepChannel.unsubscribe(onStep);
      }
      await world.lose(await loseAndCompare(world, live, doubts, lost));
    });
    await fc.assert(property, { numRuns: 80 });
  });
});

/** Returns what may differ after a loss. @param isNext told of each act before it begins; false ends the history */
async function play(
  world: RecoveryWorld,
  live: LiveEngine,
  some: readonly Act[],
  isNext: (next: Act) => boolean = () => true,
): Promise<Doubt[]> {
  const left: { doubt: Doubt; atMs: number }[] = [];
  for (const each of some) {
    if (!isNext(each)) break;
    const doubt = await runAct(live, world, each);
    if (doubt !== undefined) left.push({ doubt, atMs: world.clock.now() });
  }
  return left.filter(({ atMs }) => atMs >= live.journal.coversUntilMs()).map(({ doubt }) => doubt);
}

async function loseAndCompare(
  world: RecoveryWorld,
  live: LiveEngine,
  doubts: readonly Doubt[],
  lost: readonly number[],
): Promise<LiveEngine> {
  const before = await readEverything(live);
  await world.lose(live);
  world.thaw();
  const { metadata, report } = await world.recover({
    providers: world.providers.filter((_, index) => !lost.includes(index)),
  });
  assert.deepEqual(report.problems, []);
  const recovered = await world.start(metadata);
  compare(before, await readEverything(recovered), doubts);
  return recovered;
}

function compare(
  before: Record<string, SeenBucket>,
  after: Record<string, SeenBucket>,
  doubts: readonly Doubt[],
): void {
  const wholeBuckets = new Set(doubts.filter(({ key }) => key === undefined).map(({ bucket }) => bucket));
  for (const bucket of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (wholeBuckets.has(bucket)) continue;
    const keys = new Set(doubts.filter((doubt) => doubt.bucket === bucket).map(({ key }) => key ?? ''));
    // A bucket that was emptied and deleted comes back only if its delete was in doubt.
    assert.deepEqual(certain(after[bucket], keys), certain(before[bucket], keys), bucket);
  }
}

/** A bucket without the keys that are in doubt: whatever came of them was read when everything was. */
function certain(bucket: SeenBucket | undefined, doubtful: ReadonlySet<string>): unknown {
  if (bucket === undefined) return undefined;
  const isCertain = ({ key }: { key: string }): boolean => !doubtful.has(key);
  return { ...bucket, versions: bucket.versions.filter(isCertain), uploads: bucket.uploads.filter(isCertain) };
}
