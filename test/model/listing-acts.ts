import assert from 'node:assert/strict';
import { commonPrefixOf, isAfter, type ModelEntry, rollUp } from '../metadata/model-store.ts';
import type { ModelObject, ModelVersion } from './s3-model.ts';
import { attempt, judge, pick, type Stage } from './stage.ts';
import type { ActOf } from './steps.ts';
import { bucketName } from './world.ts';

/** What a listing shows of an object, as one line. */
function describeObject({ key, etag, bytes }: ModelObject): string {
  return `${key} ${etag} ${bytes.length}`;
}

function describeVersion(stage: Stage, version: ModelVersion): string {
  const { key, versionId } = version;
  const isLatest = stage.model.latest(key) === version;
  return version.kind === 'object'
    ? `${describeObject(version)} ${versionId} ${isLatest}`
    : `${key} marker ${versionId} ${isLatest}`;
}

/** One page of current objects, from anywhere. */
export async function list(stage: Stage, act: ActOf<'list'>): Promise<void> {
  const { prefix, delimiter, limit, after, skipsPrefix } = act;
  const query = { prefix, delimiter, limit };
  const given = skipsPrefix ? commonPrefixOf(after, query) : undefined;
  const left = stage.model
    .sortedObjects()
    .filter(({ key }) => isAfter(key, after) && !(given !== undefined && key.startsWith(given)));
  const request = { bucket: bucketName, ...query, after, skipPrefixOfAfter: skipsPrefix };
  const outcome = await attempt(stage, () => stage.world.engine.objects.list(request));
  const page = judge(outcome, [])?.value;
  assert.ok(page);
  const entries = rollUp(left, ({ key }) => key, query);
  const expected = cutPage(entries, limit, describeObject);
  assert.deepEqual(
    {
      items: page.objects.map(({ key, etag, sizeBytes }) => `${key} ${etag} ${sizeBytes}`),
      commonPrefixes: page.commonPrefixes,
      isTruncated: page.isTruncated,
    },
    expected,
  );
  assert.equal(page.next, page.isTruncated ? entries[limit - 1]?.name : undefined);
}

/** One page of versions, from any version, from behind a key, or from the start. */
export async function listVersions(stage: Stage, act: ActOf<'list-versions'>): Promise<void> {
  const { prefix, delimiter, limit, marker, isNamed } = act;
  const query = { prefix, delimiter, limit };
  const all = stage.model.sortedVersions();
  const start = marker === undefined ? undefined : pick(all, marker);
  const isNamedHere = isNamed && start !== undefined;
  const given = start && commonPrefixOf(start.key, query) === start.key ? start.key : undefined;
  const left = all.filter((version, at) => {
    if (start === undefined) return true;
    if (given !== undefined) return isAfter(version.key, given) && !version.key.startsWith(given);
    return isNamedHere ? at > all.indexOf(start) : isAfter(version.key, start.key);
  });
  const outcome = await attempt(stage, () =>
    stage.world.engine.objects.listVersions({
      bucket: bucketName,
      ...query,
      ...(start && { keyMarker: start.key }),
      ...(isNamedHere && { versionIdMarker: start.versionId }),
    }),
  );
  const page = judge(outcome, [])?.value;
  assert.ok(page);
  const entries = rollUp(left, ({ key }) => key, query);
  assert.deepEqual(
    {
      items: page.versions.map(describeListed),
      commonPrefixes: page.commonPrefixes,
      isTruncated: page.isTruncated,
    },
    cutPage(entries, limit, (version) => describeVersion(stage, version)),
  );
}

type ListedVersion = Awaited<ReturnType<Stage['world']['engine']['objects']['listVersions']>>['versions'][number];

function describeListed(version: ListedVersion): string {
  const { key, versionId, isLatest } = version;
  return version.kind === 'object'
    ? `${key} ${version.etag} ${version.sizeBytes} ${versionId} ${isLatest}`
    : `${key} marker ${versionId} ${isLatest}`;
}

function cutPage<Item>(
  entries: readonly ModelEntry<Item>[],
  limit: number,
  describe: (item: Item) => string,
): { items: string[]; commonPrefixes: string[]; isTruncated: boolean } {
  const shown = entries.slice(0, limit);
  return {
    items: shown.flatMap(({ item }) => (item === undefined ? [] : describe(item))),
    commonPrefixes: shown.filter(({ item }) => item === undefined).map(({ name }) => name),
    isTruncated: entries.length > limit,
  };
}

/** All pages of every listing, one after the other. */
export async function checkListings(stage: Stage): Promise<void> {
  for (const delimiter of ['', '/']) {
    for (const limit of [1, 2, 1000]) {
      await walkObjects(stage, delimiter, limit);
      await walkVersions(stage, delimiter, limit);
      await walkUploads(stage, delimiter, limit);
    }
  }
}

async function walkObjects({ world, model }: Stage, delimiter: string, limit: number): Promise<void> {
  const listed: string[] = [];
  let after: string | undefined;
  for (let isTruncated = true; isTruncated; ) {
    const page = await world.engine.objects.list({
      bucket: bucketName,
      delimiter,
      limit,
      ...(after !== undefined && { after, skipPrefixOfAfter: true }),
    });
    listed.push(
      ...page.objects.map(({ key, etag, sizeBytes }) => `${key} ${etag} ${sizeBytes}`),
      ...page.commonPrefixes,
    );
    ({ isTruncated, next: after } = page);
  }
  const entries = rollUp(model.sortedObjects(), ({ key }) => key, { prefix: '', delimiter, limit });
  assertListed(
    listed,
    entries.map(({ item, name }) => (item ? describeObject(item) : name)),
    delimiter,
  );
}

async function walkVersions(stage: Stage, delimiter: string, limit: number): Promise<void> {
  const { world, model } = stage;
  const listed: string[] = [];
  let markers: { keyMarker?: string; versionIdMarker?: string } = {};
  for (let isTruncated = true; isTruncated; ) {
    const page = await world.engine.objects.listVersions({ bucket: bucketName, delimiter, limit, ...markers });
    listed.push(...page.versions.map(describeListed), ...page.commonPrefixes);
    isTruncated = page.isTruncated;
    const { nextKeyMarker, nextVersionIdMarker } = page;
    markers = {
      ...(nextKeyMarker !== undefined && { keyMarker: nextKeyMarker }),
      ...(nextVersionIdMarker !== undefined && { versionIdMarker: nextVersionIdMarker }),
    };
  }
  const entries = rollUp(model.sortedVersions(), ({ key }) => key, { prefix: '', delimiter, limit });
  assertListed(
    listed,
    entries.map(({ item, name }) => (item ? describeVersion(stage, item) : name)),
    delimiter,
  );
}

async function walkUploads({ world, model }: Stage, delimiter: string, limit: number): Promise<void> {
  const listed: string[] = [];
  let markers: { keyMarker?: string; uploadIdMarker?: string } = {};
  for (let isTruncated = true; isTruncated; ) {
    const page = await world.engine.uploads.list({ bucket: bucketName, delimiter, limit, ...markers });
    listed.push(...page.uploads.map(({ key, uploadId }) => `${key} ${uploadId}`), ...page.commonPrefixes);
    isTruncated = page.isTruncated;
    const { nextKeyMarker, nextUploadIdMarker } = page;
    markers = {
      ...(nextKeyMarker !== undefined && { keyMarker: nextKeyMarker }),
      ...(nextUploadIdMarker !== undefined && { uploadIdMarker: nextUploadIdMarker }),
    };
  }
  const uploads = model.openUploads().toSorted((a, b) => (isAfter(a.key, b.key) ? 1 : a.key === b.key ? 0 : -1));
  const entries = rollUp(uploads, ({ key }) => key, { prefix: '', delimiter, limit });
  assertListed(
    listed,
    entries.map(({ item, name }) => (item ? `${name} ${item.uploadId}` : name)),
    delimiter,
  );
}

/** A page holds common prefixes apart from keys, so only without them is the order that of the listing. */
function assertListed(listed: string[], expected: string[], delimiter: string): void {
  if (delimiter === '') assert.deepEqual(listed, expected);
  else assert.deepEqual(listed.sort(), expected.sort());
}
