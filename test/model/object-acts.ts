import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { FailureKind } from '../../core/failure.ts';
import type { ObjectVersion } from '../../core/model.ts';
import type { RangeRequest } from '../../engine/engine.ts';
import { md5Hex } from '../harness/pattern-bytes.ts';
import { checksumOf, type ModelObject, type ModelVersion } from './s3-model.ts';
import {
  assertBytes,
  attempt,
  collectBytes,
  judge,
  makeBody,
  pick,
  type Stage,
  toCondition,
  toEtagCondition,
  watchShortage,
} from './stage.ts';
import type { ActOf } from './steps.ts';
import { bucketName, ownerId } from './world.ts';

const never = new AbortController().signal;

export async function put(stage: Stage, act: ActOf<'put'>): Promise<void> {
  const { world, model } = stage;
  const { key } = act;
  const condition = toCondition(stage, key, act.condition);
  const { bytes, payload, refusals } = makeBody(stage, act, act.algorithm);
  const attributes = { userMetadata: { draw: String(stage.draw()) }, tags: { size: String(bytes.length) } };
  const endShortage = watchShortage(stage, act);
  const outcome = await attempt(stage, () =>
    world.engine.objects.put(
      {
        bucket: bucketName,
        key,
        ownerId,
        payload,
        attributes: { headers: {}, storageClass: 'STANDARD', ...attributes },
        ...(condition && { condition }),
      },
      never,
    ),
  );
  const shortage = endShortage();
  const bound = [...refusals, ...model.refuseCondition(key, condition), ...shortage.must];
  const stored = judge(outcome, bound, shortage.may);
  if (stored === undefined) return;
  const checksum = act.algorithm && checksumOf(act.algorithm, bytes);
  const { versionId } = stored.value;
  addObject(stage, {
    kind: 'object',
    key,
    versionId,
    etag: md5Hex(bytes),
    bytes,
    ...attributes,
    ...(checksum && { checksum }),
    parts: [],
  });
  assertVersion(stored.value, model.latest(key));
}

/** Adds what the engine says it made, which must be the `null` version unless versioning is enabled. */
export function addObject({ model }: Stage, object: ModelObject): void {
  assert.equal(object.versionId === 'null', model.versioning !== 'enabled', `version id ${object.versionId}`);
  assert.ok(
    object.versionId === 'null' || model.find(object.key, object.versionId) === undefined,
    'a version id was used again',
  );
  model.add(object);
}

/** Compares all that a version is but its bytes. */
export function assertVersion(version: ObjectVersion, expected: ModelVersion | undefined): void {
  assert.ok(expected?.kind === 'object', 'a version that should not be');
  const { key, versionId, etag, userMetadata, tags, checksum } = expected;
  assert.deepEqual(
    {
      key: version.key,
      versionId: version.versionId,
      etag: version.etag,
      sizeBytes: version.sizeBytes,
      userMetadata: version.userMetadata,
      tags: version.tags,
      checksum: version.checksum,
      parts: version.parts,
    },
    {
      key,
      versionId,
      etag,
      sizeBytes: expected.bytes.length,
      userMetadata,
      tags,
      checksum,
      parts: expected.parts.map((part) => ({
        partNumber: part.partNumber,
        sizeBytes: part.bytes.length,
        ...(part.checksum && { checksum: part.checksum.value }),
      })),
    },
  );
}

export async function remove(stage: Stage, { key, condition: kind }: ActOf<'delete'>): Promise<void> {
  const { world, model } = stage;
  const condition = toEtagCondition(stage, key, kind);
  const outcome = await attempt(stage, () =>
    world.engine.objects.delete({
      bucket: bucketName,
      key,
      ownerId,
      nowMs: world.clock.now(),
      ...(condition && { condition }),
    }),
  );
  const done = judge(outcome, model.refuseCondition(key, condition))?.value;
  if (done === undefined) return;
  if (model.versioning === 'unversioned') {
    assert.deepEqual(done, { kind: 'removed' });
    model.remove(key, 'null');
    return;
  }
  assert.ok(done.kind === 'marker-created');
  assert.equal(done.versionId === 'null', model.versioning !== 'enabled');
  model.add({ kind: 'delete-marker', key, versionId: done.versionId });
}

export async function removeVersion(stage: Stage, { pick: number }: ActOf<'delete-version'>): Promise<void> {
  const { world, model } = stage;
  const version = pick(model.versions, number);
  const { key, versionId } = version ?? { key: 'a', versionId: 'null' };
  const request = { bucket: bucketName, key, versionId, ownerId, nowMs: world.clock.now() };
  const outcome = await attempt(stage, () => world.engine.objects.delete(request));
  const wasDeleteMarker = version?.kind === 'delete-marker';
  assert.deepEqual(judge(outcome, [])?.value, { kind: 'version-removed', versionId, wasDeleteMarker });
  model.remove(key, versionId);
}

export async function setVersioning(stage: Stage, { enable }: ActOf<'versioning'>): Promise<void> {
  const { world, model } = stage;
  const state = enable ? 'enabled' : 'suspended';
  judge(await attempt(stage, () => world.engine.buckets.setVersioning(bucketName, state)), []);
  model.versioning = state;
}

export async function copy(stage: Stage, act: ActOf<'copy'>): Promise<void> {
  const { world, model } = stage;
  const target = chooseTarget(stage, act);
  const key = act.key ?? target.key;
  const condition = toCondition(stage, key, act.condition);
  const tags = { draw: String(stage.draw()) };
  const before = model.find(target.key, target.versionId);
  const outcome = await attempt(stage, () =>
    world.engine.objects.copy(
      {
        bucket: bucketName,
        key,
        ownerId,
        source: { bucket: bucketName, ...target },
        storageClass: 'STANDARD',
        ...(act.replaces && { metadata: { headers: {}, userMetadata: tags }, tags }),
        ...(act.algorithm && { checksumAlgorithm: act.algorithm }),
        ...(condition && { condition }),
      },
      never,
    ),
  );
  // The source may have changed under the copy, which may have taken it before or after that.
  const now = model.find(target.key, target.versionId);
  const isTaken = (each: ModelVersion | undefined): boolean =>
    outcome.failure === undefined && each?.kind === 'object' && isCopyOf(outcome.value.version, each, act.replaces);
  const source = [now, before].find(isTaken) ?? now;
  const refusals = source?.kind === 'object' ? [] : model.refuseRead(target.key, target.versionId);
  refusals.push(...model.refuseCondition(key, condition));
  const changesNothing = (version: ModelVersion | undefined): boolean =>
    version?.kind === 'object' &&
    key === target.key &&
    target.versionId === undefined &&
    !act.replaces &&
    (act.algorithm === undefined || act.algorithm === version.checksum?.algorithm);
  const idle: FailureKind[] = [now, before].some(changesNothing) ? ['copy-onto-itself'] : [];
  const copied = judge(outcome, now === before ? [...refusals, ...idle] : refusals, idle)?.value;
  if (copied === undefined || source?.kind !== 'object') return;
  assert.equal(copied.sourceVersionId, source.versionId);
  const isLacking = act.algorithm !== undefined && act.algorithm !== source.checksum?.algorithm;
  const checksum = isLacking ? checksumOf(act.algorithm, source.bytes) : source.checksum;
  const { checksum: _, ...rest } = source;
  addObject(stage, {
    ...rest,
    key,
    versionId: copied.version.versionId,
    ...(checksum && { checksum }),
    ...(act.replaces && { userMetadata: tags, tags }),
  });
  assertVersion(copied.version, model.latest(key));
}

function isCopyOf({ etag, userMetadata, tags }: ObjectVersion, source: ModelObject, replaces: boolean): boolean {
  if (etag !== source.etag) return false;
  return replaces || isDeepStrictEqual([userMetadata, tags], [source.userMetadata, source.tags]);
}

export async function tag(stage: Stage, act: ActOf<'tag'>): Promise<void> {
  const { world, model } = stage;
  const target = chooseTarget(stage, act);
  const tags = { draw: String(stage.draw()) };
  const outcome = await attempt(stage, () => world.engine.objects.setTags({ bucket: bucketName, ...target }, tags));
  const version = model.find(target.key, target.versionId);
  if (judge(outcome, model.refuseRead(target.key, target.versionId)) === undefined) return;
  assert.ok(version?.kind === 'object');
  model.replace(version, { ...version, tags });
}

export async function get(stage: Stage, act: ActOf<'get'>): Promise<void> {
  const { world, model } = stage;
  const target = chooseTarget(stage, act);
  const expected = model.find(target.key, target.versionId);
  const refusals = model.refuseRead(target.key, target.versionId);
  const sizeBytes = expected?.kind === 'object' ? expected.bytes.length : 0;
  const range = act.range && toRange(act.range, sizeBytes);
  const span = { offset: 0, length: sizeBytes };
  if (expected?.kind === 'object' && range !== undefined) {
    const last = range.kind === 'from' ? Math.min(range.last ?? sizeBytes, sizeBytes - 1) : sizeBytes - 1;
    span.offset = range.kind === 'from' ? range.first : Math.max(0, sizeBytes - range.length);
    span.length = last - span.offset + 1;
    if (span.length <= 0) refusals.push('range-not-satisfiable');
  } else if (expected?.kind === 'object' && act.part !== undefined) {
    const parts = expected.parts.length > 0 ? expected.parts : [{ partNumber: 1, bytes: expected.bytes }];
    const at = parts.findIndex(({ partNumber }) => partNumber === act.part);
    if (at === -1) refusals.push('part-number-not-satisfiable');
    span.offset = parts.slice(0, Math.max(at, 0)).reduce((sum, part) => sum + part.bytes.length, 0);
    span.length = parts[at]?.bytes.length ?? 0;
  }
  const outcome = await attempt(stage, async () => {
    const object = await world.engine.objects.open({
      bucket: bucketName,
      ...target,
      ...(range && { range }),
      ...(range === undefined && act.part !== undefined && { partNumber: act.part }),
    });
    assertVersion(object.version, expected);
    return { span: { offset: object.offset, length: object.length }, bytes: await collectBytes(object.read(never)) };
  });
  const got = judge(outcome, refusals)?.value;
  if (got === undefined || expected?.kind !== 'object') return;
  assert.deepEqual(got.span, span);
  assertBytes(got.bytes, expected.bytes.subarray(span.offset, span.offset + span.length), JSON.stringify(target));
}

function toRange({ kind, first, last }: NonNullable<ActOf<'get'>['range']>, sizeBytes: number): RangeRequest {
  if (kind === 'suffix') return { kind, length: Math.round(first * 1.1 * sizeBytes) };
  const from = Math.round(first * sizeBytes);
  return kind === 'open'
    ? { kind: 'from', first: from }
    : { kind: 'from', first: from, last: from + Math.round(last * sizeBytes) };
}

function chooseTarget(
  { model }: Stage,
  { pick: number, isNamed }: { readonly pick: number; readonly isNamed: boolean },
): { key: string; versionId?: string } {
  const { key, versionId } = pick(model.versions, number) ?? { key: 'a', versionId: 'null' };
  return isNamed ? { key, versionId } : { key };
}
