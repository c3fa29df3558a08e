import assert from 'node:assert/strict';
import { md5Hex } from '../harness/pattern-bytes.ts';
import * as listings from './listing-acts.ts';
import * as objects from './object-acts.ts';
import { type ModelObject, S3Model } from './s3-model.ts';
import { resetRandomness } from './seeded-randomness.ts';
import { assertBytes, attempt, collectBytes, isPacked, makeBody, ProcessDied, type Stage } from './stage.ts';
import type { Act, Race, Step, StepOf } from './steps.ts';
import * as storage from './storage-acts.ts';
import { auditStorage } from './storage-audit.ts';
import * as uploads from './upload-acts.ts';
import { bucketName, ownerId, World, type WorldSetting } from './world.ts';

const hourMs = 3_600_000;
const maxPasses = 8;
const never = new AbortController().signal;
const upkeepVerbs: readonly string[] = ['upkeep', 'calm', 'age'];

/** Lives through a history in a world of its own, and checks all that can be checked at its end. */
export async function liveThrough(setting: WorldSetting, steps: readonly Step[]): Promise<void> {
  resetRandomness();
  const world = await World.create(setting);
  try {
    let draws = 0;
    const stage = { world, model: new S3Model(), readers: [], weatherChanges: 0, draw: () => draws++ };
    for (const step of steps) {
      await takeStep(stage, step);
      world.tick(10);
    }
    await checkEnd(stage);
  } finally {
    await world.close();
  }
}

async function takeStep(stage: Stage, step: Step): Promise<void> {
  if (step.verb === 'restart') return restart(stage);
  if (step.verb === 'during') return takeDuring(stage, step);
  if (step.verb === 'crash') return crash(stage, step);
  if (step.verb === 'together') return takeTogether(stage, step);
  return takeAct(stage, step);
}

async function takeAct(stage: Stage, act: Act): Promise<void> {
  switch (act.verb) {
    case 'put':
      return objects.put(stage, act);
    case 'delete':
      return objects.remove(stage, act);
    case 'delete-version':
      return objects.removeVersion(stage, act);
    case 'versioning':
      return objects.setVersioning(stage, act);
    case 'copy':
      return objects.copy(stage, act);
    case 'tag':
      return objects.tag(stage, act);
    case 'get':
      return objects.get(stage, act);
    case 'upload':
      return uploads.createUpload(stage, act);
    case 'part':
      return uploads.putPart(stage, act);
    case 'copy-part':
      return uploads.copyPart(stage, act);
    case 'complete':
      return uploads.complete(stage, act);
    case 'complete-again':
      return uploads.completeAgain(stage, act);
    case 'abort':
      return uploads.abort(stage, act);
    case 'list':
      return listings.list(stage, act);
    case 'list-versions':
      return listings.listVersions(stage, act);
    case 'read':
      return storage.beginRead(stage, act);
    case 'read-on':
      return storage.readOn(stage, act);
    case 'lose':
      return storage.lose(stage, act);
    case 'return':
      return storage.comeBack(stage, act);
    case 'flaky':
      return storage.makeFlaky(stage, act);
    case 'damage':
      return storage.damage(stage, act);
    case 'upkeep':
      return storage.runUpkeep(stage);
    case 'age':
      return storage.growOld(stage);
    case 'calm':
      return storage.calmDown(stage);
    case 'tick':
      return stage.world.tick(act.ms);
  }
}

async function restart(stage: Stage): Promise<void> {
  while (stage.readers.length > 0) await storage.readOn(stage, { pick: 0 });
  await stage.world.reopen();
}

/**
 * Lets the inner act happen wholly inside one call to a provider that the outer one makes; where it makes too few, after
 * it. Writes take effect after their last such call, and so after the inner act; reads saw what was before.
 */
async function takeDuring(stage: Stage, { at, when, outer, inner }: StepOf<'during'>): Promise<void> {
  // One pass of upkeep waits for another, and would wait for itself.
  const isTangled = [outer, inner].every(({ verb }) => upkeepVerbs.includes(verb));
  // A pack waits for the one under way, and so does what goes into it: it ends after the outer act.
  const isQueued = [outer, inner].every((act) => (act.verb === 'put' || act.verb === 'part') && isPacked(stage, act));
  let isTaken = isTangled;
  let trouble: { readonly error: unknown } | undefined;
  let taking: Promise<unknown> | undefined;
  stage.world.gate.arm(at, when, async () => {
    isTaken = true;
    if (isTangled) return;
    taking = takeAct(stage, inner).catch((error: unknown) => (trouble = { error }));
    if (!isQueued) await taking;
  });
  await takeAct(stage, outer);
  stage.world.gate.disarm();
  // The outer act may end without the call that it was taken in.
  await taking;
  if (trouble !== undefined) throw trouble.error;
  if (!isTaken) await takeAct(stage, inner);
}

/** Ends the process at one of the calls that an act makes to providers or to the store, or after it where it makes too few. */
async function crash(stage: Stage, { at, when, callee, outer }: StepOf<'crash'>): Promise<void> {
  const { world } = stage;
  const readerCount = stage.readers.length;
  // After a call to the store nobody knows what clients see. Of upkeep they see nothing.
  const isSeen = !upkeepVerbs.includes(outer.verb);
  world.gate.arm(at, callee === 'store' && isSeen ? 'before' : when, () => world.die(), callee);
  try {
    await takeAct(stage, outer);
  } catch (error) {
    if (!(error instanceof ProcessDied)) throw error;
  }
  assert.ok(stage.readers.length <= readerCount + 1);
  stage.readers.length = 0;
  await world.reopen();
}

/** Several requests at once, none of which knows of another. */
async function takeTogether(stage: Stage, { races }: StepOf<'together'>): Promise<void> {
  const { world, model } = stage;
  for (const place of world.places) if (place.isLost || place.hasFaultsToCome) return;
  const before = new Map(races.map(({ key }) => [key, model.current(key)]));
  const runs = await Promise.all(races.map((race) => runRace(stage, race)));
  for (const [key, current] of before) {
    const ours = runs.filter((run) => run.key === key);
    const puts = ours.filter((run) => run.verb === 'put');
    const done = puts.filter((run) => run.version !== undefined);
    const first = done.find((run) => run.isAbsent);
    assert.ok(done.filter((run) => run.isAbsent).length <= (current ? 0 : 1), 'two that each had to be the first');
    for (const run of puts.filter(({ version }) => version === undefined)) {
      assert.equal(run.refusal, 'precondition-failed');
      assert.ok(run.isAbsent && (current !== undefined || done.length > 0), 'refused without a reason');
    }
    const seen = [...done.map(({ bytes }) => md5Hex(bytes)), current?.etag, ...(current ? [] : [undefined])];
    for (const run of ours.filter(({ verb }) => verb === 'get'))
      assert.ok(seen.includes(run.etag), 'a GET of something else');
    const order = await orderOfCommit(stage, key, done);
    if (first !== undefined) assert.equal(order[0] ?? first, first, 'one came before the first');
    for (const { version, bytes, draw } of [...done.filter((run) => !order.includes(run)), ...order]) {
      objects.addObject(stage, describePut(key, version!.versionId, bytes, draw));
    }
  }
}

interface RaceRun {
  readonly verb: Race['verb'];
  readonly key: string;
  readonly bytes: Buffer;
  readonly isAbsent: boolean;
  /** Tells it from others with the same bytes. */
  readonly draw: string;
  readonly version?: { readonly versionId: string };
  readonly refusal?: string;
  /** Of what a GET found. */
  readonly etag?: string;
}

async function runRace(stage: Stage, race: Race): Promise<RaceRun> {
  const { objects: engine } = stage.world.engine;
  const { verb, key } = race;
  if (verb === 'get') {
    const outcome = await attempt(stage, async () => {
      const object = await engine.open({ bucket: bucketName, key });
      const bytes = await collectBytes(object.read(never));
      assert.equal(md5Hex(bytes), object.version.parts.length > 0 ? md5Hex(bytes) : object.version.etag, 'a torn read');
      return object.version.etag;
    });
    const shared = { verb, key, bytes: Buffer.alloc(0), isAbsent: false, draw: '' };
    return outcome.failure === undefined ? { ...shared, etag: outcome.value } : shared;
  }
  const { isAbsent } = race;
  const { bytes, payload } = makeBody(stage, { ...race, isUnsized: false, digest: 'right' });
  const draw = String(stage.draw());
  const attributes = { headers: {}, userMetadata: { draw }, tags: {}, storageClass: 'STANDARD' };
  const condition = isAbsent ? { condition: { kind: 'absent' } as const } : {};
  const request = { bucket: bucketName, key, ownerId, payload, attributes, ...condition };
  const { failure, ...done } = await attempt(stage, () => engine.put(request, never));
  const shared = { verb, key, bytes, isAbsent, draw };
  return failure === undefined && 'value' in done
    ? { ...shared, version: done.value }
    : { ...shared, refusal: failure!.kind };
}

/** Those that can be told apart in the order in which they took effect: all in an enabled bucket, else the last. */
async function orderOfCommit({ world, model }: Stage, key: string, done: readonly RaceRun[]): Promise<RaceRun[]> {
  if (done.length === 0) return [];
  if (model.versioning === 'enabled') {
    const { versions } = await world.engine.objects.listVersions({ bucket: bucketName, prefix: key, limit: 1000 });
    const ids = versions.filter((version) => version.key === key).map(({ versionId }) => versionId);
    return done.toSorted((a, b) => ids.indexOf(b.version!.versionId) - ids.indexOf(a.version!.versionId));
  }
  const { version } = await world.engine.objects.open({ bucket: bucketName, key });
  const last = done.filter(({ draw }) => version.userMetadata.draw === draw);
  assert.equal(last.length, 1, 'what is there now is what none of them wrote');
  if (done.length > 1) assert.ok(!last[0]!.isAbsent, 'the first one came last');
  return done.length > 1
    ? [...done.filter((run) => run.isAbsent), ...done.filter((run) => !run.isAbsent && run !== last[0]), last[0]!]
    : last;
}

function describePut(key: string, versionId: string, bytes: Buffer, draw: string): ModelObject {
  return { kind: 'object', key, versionId, etag: md5Hex(bytes), bytes, userMetadata: { draw }, tags: {}, parts: [] };
}

/** Everything as the model has it: with the losses as they are, in a new process, and after upkeep has mended what it can. */
async function checkEnd(stage: Stage): Promise<void> {
  const { world } = stage;
  await restart(stage);
  await checkObjects(stage);
  await listings.checkListings(stage);
  await checkUploads(stage);
  for (const place of world.places) {
    place.isLost = false;
    place.forgetFaultsToCome();
  }
  // The first pass repairs and forgets what is due; the second comes when nothing is under suspicion any more. What
  // compaction leaves is for the pass after it, and there is an end to it.
  let quietPasses = 0;
  for (let pass = 0; quietPasses < 2; pass++) {
    assert.ok(pass < maxPasses, 'compaction comes to no end');
    world.clock.nowMs += 3 * hourMs;
    const { bytesCompacted } = await world.upkeep.runOnce();
    quietPasses = bytesCompacted === 0 ? quietPasses + 1 : 0;
  }
  const isExcused = (provider: { id: string }, cid: Parameters<(typeof world.places)[0]['isDamaged']>[0]): boolean =>
    world.places.find(({ id }) => id === provider.id)?.isDamaged(cid) ?? false;
  await auditStorage({ metadata: world.metadata, providers: world.places, buckets: [bucketName], isExcused });
  await checkObjects(stage);
  const { versions, buckets } = await world.metadata.countUsage();
  assert.deepEqual({ versions, buckets }, { versions: stage.model.versions.length, buckets: 1 });
}

async function checkObjects(stage: Stage): Promise<void> {
  const { world, model } = stage;
  for (const version of model.versions) {
    if (version.kind !== 'object') continue;
    const { key, versionId, bytes } = version;
    const object = await world.engine.objects.open({ bucket: bucketName, key, versionId });
    objects.assertVersion(object.version, version);
    assertBytes(await collectBytes(object.read(never)), bytes, `${key} ${versionId}`);
  }
}

async function checkUploads({ world, model }: Stage): Promise<void> {
  for (const { key, uploadId, parts } of model.openUploads()) {
    const page = await world.engine.uploads.listParts({ bucket: bucketName, key, uploadId }, 0, 1000);
    assert.deepEqual(
      page.parts.map(({ partNumber, etag, sizeBytes }) => ({ partNumber, etag, sizeBytes })),
      [...parts.values()]
        .sort((a, b) => a.partNumber - b.partNumber)
        .map(({ partNumber, etag, bytes }) => ({ partNumber, etag, sizeBytes: bytes.length })),
    );
  }
}
