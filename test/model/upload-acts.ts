import assert from 'node:assert/strict';
import type { FailureKind } from '../../core/failure.ts';
import type { Part } from '../../core/model.ts';
import { md5Hex } from '../harness/pattern-bytes.ts';
import { addObject, assertVersion } from './object-acts.ts';
import {
  checksumOf,
  checksumOfParts,
  etagOfParts,
  type ModelObject,
  type ModelPart,
  type ModelUpload,
  type NamedPart,
} from './s3-model.ts';
import { attempt, judge, makeBody, pick, type Stage, toCondition, watchShortage } from './stage.ts';
import type { ActOf } from './steps.ts';
import { bucketName, minPartBytes, ownerId } from './world.ts';

const never = new AbortController().signal;

export async function createUpload(stage: Stage, { key, algorithm }: ActOf<'upload'>): Promise<void> {
  const { world, model } = stage;
  const attributes = { userMetadata: { draw: String(stage.draw()) }, tags: {} };
  const outcome = await attempt(stage, () =>
    world.engine.uploads.create({
      bucket: bucketName,
      key,
      ownerId,
      attributes: { headers: {}, storageClass: 'STANDARD', ...attributes },
      ...(algorithm && { checksumAlgorithm: algorithm }),
    }),
  );
  const upload = judge(outcome, [])?.value;
  assert.ok(upload);
  model.uploads.push({ uploadId: upload.uploadId, key, algorithm, parts: new Map(), ...attributes });
}

export async function putPart(stage: Stage, act: ActOf<'part'>): Promise<void> {
  const upload = await chooseUpload(stage, act.pick);
  const { partNumber } = act;
  const { bytes, payload, refusals } = makeBody(stage, act);
  const endShortage = watchShortage(stage, act);
  const request = { ...targetOf(upload), partNumber, payload };
  const outcome = await attempt(stage, () => stage.world.engine.uploads.putPart(request, never));
  const shortage = endShortage();
  const bound = [...refusals, ...refuseEnded(upload), ...shortage.must];
  const part = judge(outcome, bound, shortage.may)?.value;
  if (part !== undefined) addPart(upload, part, bytes);
}

export async function copyPart(stage: Stage, act: ActOf<'copy-part'>): Promise<void> {
  const { world, model } = stage;
  const upload = await chooseUpload(stage, act.pick);
  const chosen = pick(model.versions, act.source);
  if (chosen?.kind !== 'object') return;
  const { key, versionId } = chosen;
  const range = act.range && toRange(act.range, chosen.bytes.length);
  const source = { bucket: bucketName, key, versionId };
  const request = { ...targetOf(upload), partNumber: act.partNumber, source, ...(range && { range }) };
  const outcome = await attempt(stage, () => world.engine.uploads.copyPart(request, never));
  // The source may have changed under the copy, which may have taken it before or after that.
  const now = model.find(key, versionId);
  const cut = (object: ModelObject): Buffer => object.bytes.subarray(range?.first, range && range.last + 1);
  const fits = (object: ModelObject): boolean => range === undefined || range.last < object.bytes.length;
  const sources = [chosen, now].filter((each) => each?.kind === 'object' && fits(each)) as ModelObject[];
  const refusals: FailureKind[] = refuseEnded(upload);
  const late: FailureKind[] = now === chosen ? [] : ['version-missing', 'delete-marker', 'range-not-satisfiable'];
  if (!fits(chosen)) refusals.push('range-not-satisfiable');
  const part = judge(outcome, refusals, late)?.value.part;
  if (part === undefined) return;
  const taken = sources.find((each) => md5Hex(cut(each)) === part.etag);
  assert.ok(taken, 'the copied part is made of other bytes');
  addPart(upload, part, cut(taken));
}

/** Two places of an object of at least a byte; beyond the end now and then. */
function toRange([a, b]: readonly [number, number], sizeBytes: number): { first: number; last: number } {
  const [first, last] = [Math.floor(a * sizeBytes), Math.floor(b * sizeBytes)];
  return first <= last ? { first, last } : { first: last, last: first };
}

function addPart(upload: ModelUpload, { partNumber, etag, sizeBytes, checksum }: Part, bytes: Buffer): void {
  const expected = upload.algorithm && checksumOf(upload.algorithm, bytes);
  assert.deepEqual({ etag, sizeBytes, checksum }, { etag: md5Hex(bytes), sizeBytes: bytes.length, checksum: expected });
  upload.parts.set(partNumber, { partNumber, etag, bytes, ...(expected && { checksum: expected }) });
}

export async function complete(stage: Stage, act: ActOf<'complete'>): Promise<void> {
  const { world, model } = stage;
  const upload = pick(model.openUploads(), act.pick);
  if (upload === undefined) return;
  const { key } = upload;
  const wanted = [1, 2, 3].filter(
    (number) => upload.parts.has(number) && (act.keep === 0 || act.keep & (1 << (number - 1))),
  );
  const parts = wanted.map((number) => upload.parts.get(number)!);
  if (parts.length === 0) return;
  const refusals: FailureKind[] = [];
  let named: NamedPart[] = parts.map(({ partNumber, etag }) => ({ partNumber, etag }));
  if (act.flaw === 'order' && named.length > 1) {
    named = named.toReversed();
    refusals.push('part-order');
  } else if (act.flaw === 'etag') {
    named = [{ ...named[0]!, etag: md5Hex('another') }, ...named.slice(1)];
    refusals.push('part-invalid');
  }
  if (parts.slice(0, -1).some(({ bytes }) => bytes.length < minPartBytes)) refusals.push('part-too-small');
  const bytes = Buffer.concat(parts.map((part) => part.bytes));
  if (act.flaw === 'size') refusals.push('size-mismatch');
  const condition = toCondition(stage, key, act.condition);
  const outcome = await attempt(stage, () =>
    world.engine.uploads.complete(
      {
        ...targetOf(upload),
        parts: named,
        expectedSizeBytes: bytes.length + (act.flaw === 'size' ? 1 : 0),
        ...(condition && { condition }),
      },
      never,
    ),
  );
  refusals.push(...model.refuseCondition(key, condition));
  const completed = judge(outcome, refusals)?.value;
  if (completed === undefined) return;
  const { etag, versionId } = completed;
  assert.equal(etag, etagOfParts(parts));
  upload.end = { named, etag, versionId };
  addObject(stage, makeObject(upload, parts, versionId));
  const found = await world.engine.objects.open({ bucket: bucketName, key, versionId });
  assertVersion(found.version, model.latest(key));
}

function makeObject(upload: ModelUpload, parts: readonly ModelPart[], versionId: string): ModelObject {
  const { key, userMetadata, tags, algorithm } = upload;
  const bytes = Buffer.concat(parts.map((part) => part.bytes));
  const checksum = algorithm && checksumOfParts(algorithm, parts);
  const etag = etagOfParts(parts);
  return { kind: 'object', key, versionId, etag, bytes, userMetadata, tags, ...(checksum && { checksum }), parts };
}

/** Repeats a call that was answered, or makes the same call with other parts. */
export async function completeAgain(stage: Stage, { pick: number, isSame }: ActOf<'complete-again'>): Promise<void> {
  const upload = pick(
    stage.model.uploads.filter(({ end }) => end !== undefined),
    number,
  );
  if (upload?.end === undefined) return;
  const { end } = upload;
  const named = end === 'aborted' ? [{ partNumber: 1, etag: md5Hex('any') }] : end.named;
  const parts = isSame ? named : [{ ...named[0]!, etag: md5Hex('another') }, ...named.slice(1)];
  const outcome = await attempt(stage, () =>
    stage.world.engine.uploads.complete({ ...targetOf(upload), parts }, never),
  );
  const answer = judge(outcome, isSame && end !== 'aborted' ? [] : ['upload-missing'])?.value;
  if (answer === undefined || end === 'aborted') return;
  assert.deepEqual({ etag: answer.etag, versionId: answer.versionId }, { etag: end.etag, versionId: end.versionId });
}

export async function abort(stage: Stage, { pick: number }: ActOf<'abort'>): Promise<void> {
  const upload = pick(stage.model.uploads, number);
  if (upload === undefined) return;
  const outcome = await attempt(stage, () => stage.world.engine.uploads.abort(targetOf(upload)));
  if (judge(outcome, refuseEnded(upload)) !== undefined) upload.end = 'aborted';
}

/** An open upload, one that is created now where there is none, or now and then one that has ended. */
async function chooseUpload(stage: Stage, number: number): Promise<ModelUpload> {
  const { model } = stage;
  const chosen = pick(number % 7 === 0 ? model.uploads : model.openUploads(), number);
  if (chosen !== undefined) return chosen;
  await createUpload(stage, { verb: 'upload', key: 'a/b', algorithm: undefined });
  return model.uploads.at(-1)!;
}

function refuseEnded(upload: ModelUpload): FailureKind[] {
  return upload.end === undefined ? [] : ['upload-missing'];
}

function targetOf({ key, uploadId }: ModelUpload): { bucket: string; key: string; uploadId: string } {
  return { bucket: bucketName, key, uploadId };
}
