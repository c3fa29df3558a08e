import assert from 'node:assert/strict';
import { extentsOf } from '../harness/extents-of.ts';
import { assertBytes, attempt, countSpares, findNeededStripes, pick, type Stage } from './stage.ts';
import type { ActOf } from './steps.ts';
import { bucketName } from './world.ts';

const never = new AbortController().signal;

/** A provider stops answering, unless an object could then not be read any more. */
export async function lose(stage: Stage, { pick: number }: ActOf<'lose'>): Promise<void> {
  const place = pick(stage.world.places, number);
  if (place === undefined || place.isLost) return;
  const stripes = await findNeededStripes(stage);
  if (stripes.some((stripe) => countSpares(stage, stripe, place) < 0)) return;
  place.isLost = true;
  stage.weatherChanges += 1;
}

export function comeBack(stage: Stage, { pick: number }: ActOf<'return'>): void {
  const place = pick(
    stage.world.places.filter(({ isLost }) => isLost),
    number,
  );
  if (place === undefined) return;
  place.isLost = false;
  stage.weatherChanges += 1;
}

export function makeFlaky(stage: Stage, { pick: number, call, when }: ActOf<'flaky'>): void {
  pick(stage.world.places, number)?.failNext(call, when);
  stage.weatherChanges += 1;
}

/** A shard rots, unless an object could then not be read any more. */
export async function damage(stage: Stage, act: ActOf<'damage'>): Promise<void> {
  const stripes = (await findNeededStripes(stage)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const stripe = pick(stripes, act.pick);
  const shard = pick(stripe?.shards ?? [], act.shard);
  if (stripe === undefined || shard === undefined) return;
  const place = stage.world.places.find(({ id }) => id === shard.providerId);
  assert.ok(place);
  const isGood = !place.isLost && !place.isDamaged(shard.cid);
  if (countSpares(stage, stripe) < (isGood ? 1 : 0)) return;
  await place.spoil(shard.cid, act.kind);
}

export async function runUpkeep(stage: Stage): Promise<void> {
  const outcome = await attempt(stage, () => stage.world.upkeep.runOnce());
  assert.equal(outcome.failure, undefined);
}

/** All providers are back, nobody suspects them any more, and upkeep does what it could not do before. */
export async function calmDown(stage: Stage): Promise<void> {
  for (const place of stage.world.places) place.isLost = false;
  stage.weatherChanges += 1;
  stage.world.tick(15_000);
  await runUpkeep(stage);
}

/** So much time passes that upkeep takes shards for orphans which it did not dare to touch before. */
export async function growOld(stage: Stage): Promise<void> {
  stage.world.tick(7_200_000);
  await runUpkeep(stage);
}

/** Begins to read a version, takes the first chunk, and leaves the rest for later. */
export async function beginRead(stage: Stage, { pick: number }: ActOf<'read'>): Promise<void> {
  const { world, model } = stage;
  const version = pick(model.versions, number);
  if (version?.kind !== 'object') return;
  const { key, versionId, bytes } = version;
  const outcome = await attempt(stage, async () => {
    const object = await world.engine.objects.open({ bucket: bucketName, key, versionId });
    const chunks = object.read(never)[Symbol.asyncIterator]();
    const first = await chunks.next();
    const got = first.done ? [] : [Uint8Array.from(first.value)];
    // What came in one piece needs its stripes no more.
    const isDone = (got[0]?.length ?? 0) === bytes.length;
    const stripeIds = isDone ? [] : extentsOf(object.version).map(({ stripeId }) => stripeId);
    return { chunks, got, expected: bytes, stripeIds };
  });
  assert.equal(outcome.failure, undefined);
  if (outcome.failure === undefined) stage.readers.push(outcome.value);
}

/** Reads one of them to its end. */
export async function readOn(stage: Stage, { pick: number }: { readonly pick: number }): Promise<void> {
  const reader = pick(stage.readers, number);
  if (reader === undefined) return;
  const outcome = await attempt(stage, async () => {
    for (let next = await reader.chunks.next(); !next.done; next = await reader.chunks.next()) {
      reader.got.push(Uint8Array.from(next.value));
    }
  });
  assert.equal(outcome.failure, undefined);
  stage.readers.splice(stage.readers.indexOf(reader), 1);
  assertBytes(Buffer.concat(reader.got), reader.expected, 'a read under way');
}
