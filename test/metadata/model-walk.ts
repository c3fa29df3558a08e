import assert from 'node:assert/strict';
import { Failure } from '../../core/failure.ts';
import type { PlacedShard, ProviderId, StripeId, WriteCondition } from '../../core/model.ts';
import { type MetadataStore, type NewStripe, systemProfileName } from '../../metadata/metadata-store.ts';
import { checkPlaces } from './check-places.ts';
import { countPlacements, withoutIds } from './count-placements.ts';
import {
  bucketName,
  extentsIn,
  extentsOf,
  freedStripes,
  newStripe,
  ownerId,
  partRequest,
  placeShard,
  putRequest,
  uploadOf,
} from './metadata-fixtures.ts';
import type { Step, StepOf } from './model-steps.ts';
import { commonPrefixOf, isAfter, type ModelQuery, ModelStore, rollUp } from './model-store.ts';

/** Does each step to a store and to the model, and compares. */
export class ModelWalk {
  #store: MetadataStore;
  readonly #model = new ModelStore();
  /** All that are not forgotten. */
  readonly #stripes = new Map<string, NewStripe>();
  /** Where the 4,096 bytes of a stripe begin that are referred to. */
  readonly #offsets = new Map<string, number>();
  #count = 0;
  /** Of all uploads that there ever were, by upload id. */
  readonly uploadKeys = new Map<string, string>();
  /** Of all stripes that there ever were. */
  readonly everStripes = new Map<string, NewStripe>();
  /** Of all versions and parts that were ever put, also of those that were refused. */
  readonly everNumbers: number[] = [];

  constructor(store: MetadataStore) {
    this.#store = store;
  }

  /** Goes on with a store that must hold the same. */
  moveTo(store: MetadataStore): void {
    this.#store = store;
  }

  async take(step: Step): Promise<void> {
    if (step.verb === 'put') await this.#put(step);
    else if (step.verb === 'delete') await this.#delete(step);
    else if (step.verb === 'delete-version') await this.#deleteVersion(step);
    else if (step.verb === 'versioning') await this.#setVersioning(step);
    else if (step.verb === 'profile') await this.#setProfile(step);
    else if (step.verb === 'upload') await this.#createUpload(step);
    else if (step.verb === 'part') await this.#putPart(step);
    else if (step.verb === 'complete') await this.#complete(step);
    else if (step.verb === 'abort') await this.#abort(step);
    else if (step.verb === 'tag') await this.#tag(step);
    else if (step.verb === 'move') await this.#move(step);
    else if (step.verb === 'forget') await this.#forget(step);
    else if (step.verb === 'repair') await this.#repair(step);
    else if (step.verb === 'lose') await this.#lose(step);
    else await this.#checkPage(step.query, step.after, step.skip);
    const live = this.#model.liveStripes();
    const freed = [...this.#stripes.keys()].filter((id) => !live.has(id));
    assert.deepEqual(await freedStripes(this.#store), freed.sort());
    const liveStripes = [...live].map((id) => this.#stripes.get(id)!);
    // A history may have system objects beside the walk.
    const placements = (await this.#store.listPlacements()).filter((each) => each.profileName !== systemProfileName);
    assert.deepEqual(withoutIds(placements), countPlacements(liveStripes));
  }

  async checkWhole(): Promise<void> {
    const model = this.#model;
    const bucket = await this.#store.findBucket(bucketName);
    assert.deepEqual([bucket?.versioning, bucket?.profileName], [model.versioning, model.profileName]);
    const liveBytes = model.liveBytes();
    const live = liveBytes.size;
    const degraded = [...liveBytes.keys()].filter((id) => this.#stripes.get(id)!.shards.length < 6);
    const sum = (numbers: Iterable<number>) => [...numbers].reduce((total, number) => total + number, 0);
    const stored = (id: string) => this.#stripes.get(id)!.storedBytes;
    assert.deepEqual(await this.#store.countUsage(), {
      buckets: 1,
      versions: model.versions.length,
      liveStripes: live,
      freedStripes: this.#stripes.size - live,
      degradedStripes: degraded.length,
      storedBytes: sum([...liveBytes.keys()].map(stored)),
      neededBytes: sum(liveBytes.values()) * 1.5,
    });
    const waste = (id: string) => stored(id) / liveBytes.get(id)! / 1.5;
    const sparse = await this.#store.listSparseStripes(1000);
    const wasteful = [...liveBytes.keys()].filter((id) => waste(id) > 1.08);
    assert.deepEqual(
      sparse.map(({ stripe }) => waste(stripe.id)),
      wasteful.map(waste).sort((a, b) => b - a),
    );
    for (const { stripe, storedBytes, liveBytes: bytes } of sparse) {
      assert.deepEqual([storedBytes, bytes], [stored(stripe.id), liveBytes.get(stripe.id)]);
    }
    for (const id of this.everStripes.keys()) await this.#checkReferences(id as StripeId);
    await checkPlaces(this.#store, this.#stripes, [...liveBytes.keys()]);
    const listed = await this.#store.listDegradedStripes(1000);
    assert.deepEqual(listed.map(({ id }) => id as string).sort(), degraded.sort());
    for (const expected of model.versions) {
      const found = await this.#store.findVersion(bucketName, expected.key, expected.versionId);
      assert.equal(found?.isLatest, model.latest(expected.key) === expected);
      assert.equal(found.kind, expected.isMarker ? 'delete-marker' : 'object');
      if (found.kind !== 'object') continue;
      assert.deepEqual(extentsIn(found), this.#extents(expected.stripes));
    }
    for (const delimiter of ['', '/', 'a', '\u{10ffff}']) {
      for (const prefix of ['', 'a', '/']) await this.#checkWalk({ prefix, delimiter, limit: 3 });
    }
  }

  async #put({ key, fresh, shared, condition }: StepOf<'put'>): Promise<void> {
    const model = this.#model;
    const etag = `etag-${this.#count++}`;
    const { stripes, all, extents } = this.#chooseStripes(fresh, shared);
    const latest = model.latest(key);
    const object = latest?.isMarker ? undefined : latest;
    const checked = toCondition(condition, object?.etag);
    const request = putRequest(key, { etag, stripes, extents, ...(checked && { condition: checked }) });
    this.everNumbers.push(request.number);
    const refused = checked && (checked.kind === 'absent' ? object !== undefined : object === undefined);
    if (refused) return assert.rejects(this.#store.putVersion(request), Failure);
    const { versionId } = await this.#store.putVersion(request);
    this.#register(stripes);
    model.add({ key, versionId, isMarker: false, etag, stripes: all });
    assert.equal(versionId === 'null', model.versioning !== 'enabled');
  }

  async #delete({ pick }: StepOf<'delete'>): Promise<void> {
    const model = this.#model;
    const key = choose(model.versions, pick)?.key ?? 'a';
    const outcome = await this.#store.deleteVersion({ bucket: bucketName, key, ownerId, nowMs: 1 });
    if (model.versioning === 'unversioned') {
      model.remove(key, 'null');
      assert.deepEqual(outcome, { kind: 'removed' });
      return;
    }
    assert.ok(outcome.kind === 'marker-created');
    model.add({ key, versionId: outcome.versionId, isMarker: true, etag: '', stripes: [] });
  }

  async #deleteVersion({ pick }: StepOf<'delete-version'>): Promise<void> {
    const { key, versionId, isMarker } = choose(this.#model.versions, pick) ?? {
      key: 'a',
      versionId: 'null',
      isMarker: false,
    };
    const outcome = await this.#store.deleteVersion({ bucket: bucketName, key, versionId, ownerId, nowMs: 1 });
    assert.deepEqual(outcome, { kind: 'version-removed', versionId, wasDeleteMarker: isMarker });
    this.#model.remove(key, versionId);
  }

  async #setVersioning({ enable }: StepOf<'versioning'>): Promise<void> {
    this.#model.versioning = enable ? 'enabled' : 'suspended';
    await this.#store.setVersioning(bucketName, this.#model.versioning);
  }

  async #setProfile({ profileName }: StepOf<'profile'>): Promise<void> {
    this.#model.profileName = profileName;
    await this.#store.setBucketProfile(bucketName, profileName);
  }

  async #createUpload({ key }: StepOf<'upload'>): Promise<void> {
    const uploadId = `upload-${this.#count++}`;
    await this.#store.createUpload(uploadOf(key, uploadId));
    this.uploadKeys.set(uploadId, key);
    this.#model.uploads.push({ uploadId, key, parts: new Map() });
  }

  async #putPart({ pick, partNumber, fresh, shared }: StepOf<'part'>): Promise<void> {
    const upload = choose(this.#model.uploads, pick);
    if (!upload) return;
    const etag = `part-${this.#count++}`;
    const { stripes, all, extents } = this.#chooseStripes(fresh, shared);
    const { key, uploadId } = upload;
    const request = partRequest(uploadOf(key, uploadId), partNumber, { etag, stripes, extents });
    this.everNumbers.push(request.number);
    await this.#store.putPart(request);
    this.#register(stripes);
    upload.parts.set(partNumber, { etag, stripes: all });
  }

  async #complete({ pick, keep }: StepOf<'complete'>): Promise<void> {
    const model = this.#model;
    const upload = choose(model.uploads, pick);
    if (!upload) return;
    const { key, uploadId } = upload;
    const numbers = [1, 2, 3].filter((number) => keep & (1 << (number - 1)) && upload.parts.has(number));
    const chosen = numbers.map((partNumber) => ({ partNumber, ...upload.parts.get(partNumber)! }));
    const etag = `whole-${this.#count++}`;
    const parts = chosen.map(({ partNumber, etag }) => ({ partNumber, etag }));
    const { versionId } = await this.#store.completeUpload({
      bucket: bucketName,
      key,
      uploadId,
      parts,
      etag,
      modifiedAtMs: 1,
    });
    model.uploads = model.uploads.filter((each) => each !== upload);
    model.add({ key, versionId, isMarker: false, etag, stripes: chosen.flatMap(({ stripes }) => stripes) });
  }

  async #abort({ pick }: StepOf<'abort'>): Promise<void> {
    const upload = choose(this.#model.uploads, pick);
    if (!upload) return;
    await this.#store.abortUpload(bucketName, upload.key, upload.uploadId);
    this.#model.uploads = this.#model.uploads.filter((each) => each !== upload);
  }

  async #tag({ pick }: StepOf<'tag'>): Promise<void> {
    const objects = this.#model.versions.filter(({ isMarker }) => !isMarker);
    const version = choose(objects, pick);
    if (!version) return;
    const tags = { count: `${this.#count++}` };
    const changed = await this.#store.setTags(bucketName, version.key, version.versionId, tags);
    assert.deepEqual([changed.tags, changed.etag], [tags, version.etag]);
  }

  /** All that lies in a stripe goes to a new one; another new one is left empty. */
  async #move({ pick }: StepOf<'move'>): Promise<void> {
    const from = choose([...this.#model.liveStripes()].sort(), pick);
    if (from === undefined) return;
    const [to, empty] = [newStripe({ dataBytes: 8192, storedBytes: 13_000 }), newStripe()];
    const offset = 1000;
    const [extent] = this.#extents([from]);
    const moves = [{ from: extent!, to: { stripeId: to.id, offset } }];
    await this.#store.moveExtents({ moves, stripes: [to, empty] });
    this.#register([to, empty]);
    this.#offsets.set(to.id, offset);
    this.#model.move(from, to.id);
  }

  async #forget({ pick }: StepOf<'forget'>): Promise<void> {
    const live = this.#model.liveStripes();
    const id = choose([...this.#stripes.keys()].filter((each) => !live.has(each)).sort(), pick);
    if (id === undefined) return;
    await this.#store.forgetStripe(id as StripeId);
    this.#stripes.delete(id);
  }

  async #repair({ pick, index }: StepOf<'repair'>): Promise<void> {
    const id = choose([...this.#stripes.keys()].sort(), pick);
    if (id === undefined) return;
    const stripe = this.#stripes.get(id)!;
    const shard = placeShard(stripe.id, index, `repaired-${this.#count++ % 3}`);
    await this.#store.recordShard(stripe.id, shard);
    const isOther = (other: PlacedShard) => other.index !== index;
    this.#setShards(stripe, [...stripe.shards.filter(isOther), shard], (stripe.lostShards ?? []).filter(isOther));
  }

  async #lose({ pick, index }: StepOf<'lose'>): Promise<void> {
    const id = choose([...this.#stripes.keys()].sort(), pick);
    if (id === undefined) return;
    const stripe = this.#stripes.get(id)!;
    const lost = stripe.shards.find((shard) => shard.index === index);
    if (!lost) return this.#store.loseShard(stripe.id, placeShard(stripe.id, index, 'p0'));
    await this.#store.loseShard(stripe.id, { ...lost, providerId: 'elsewhere' as ProviderId });
    await this.#store.loseShard(stripe.id, lost);
    this.#setShards(
      stripe,
      stripe.shards.filter((shard) => shard !== lost),
      [...(stripe.lostShards ?? []), lost],
    );
  }

  #setShards({ lostShards: _, ...stripe }: NewStripe, shards: PlacedShard[], lostShards: PlacedShard[]): void {
    const sort = (all: PlacedShard[]) => all.sort((a, b) => a.index - b.index);
    const lost = lostShards.length > 0 ? { lostShards: sort(lostShards) } : {};
    this.#stripes.set(stripe.id, { ...stripe, shards: sort(shards), ...lost });
  }

  /** Who refers to a stripe, by what the store says and by what the model does. */
  async #checkReferences(id: StripeId): Promise<void> {
    const references = await this.#store.listReferences(id);
    const named = references.map((reference) => {
      assert.equal(reference.bucket.name, bucketName);
      return reference.kind === 'version'
        ? `${reference.version.key} ${reference.version.versionId} ${reference.version.etag}`
        : `${reference.key} ${reference.uploadId} ${reference.part.partNumber} ${reference.part.etag}`;
    });
    const expected: string[] = [];
    for (const { key, versionId, etag, stripes } of this.#model.versions) {
      if (stripes.includes(id)) expected.push(`${key} ${versionId} ${etag}`);
    }
    for (const { key, uploadId, parts } of this.#model.uploads) {
      for (const [partNumber, { etag, stripes }] of parts) {
        if (stripes.includes(id)) expected.push(`${key} ${uploadId} ${partNumber} ${etag}`);
      }
    }
    assert.deepEqual(named.sort(), expected.sort());
  }

  /** One page of objects from anywhere. */
  async #checkPage(query: ModelQuery, after: string, skipPrefixOfAfter: boolean): Promise<void> {
    const given = skipPrefixOfAfter ? commonPrefixOf(after, query) : undefined;
    const isLeft = (key: string) => isAfter(key, after) && !(given !== undefined && key.startsWith(given));
    const entries = rollUp(this.#model.currentKeys().filter(isLeft), (key) => key, query);
    const page = await this.#store.listObjects({ bucket: bucketName, ...query, after, skipPrefixOfAfter });
    const shown = entries.slice(0, query.limit);
    const isTruncated = entries.length > query.limit;
    assert.deepEqual(
      { ...page, objects: page.objects.map(({ key }) => key) },
      {
        objects: shown.filter(({ item }) => item !== undefined).map(({ name }) => name),
        commonPrefixes: shown.filter(({ item }) => item === undefined).map(({ name }) => name),
        isTruncated,
        ...(isTruncated && { next: shown.at(-1)!.name }),
      },
    );
  }

  /** All pages of versions and of uploads, one after the other. */
  async #checkWalk(query: ModelQuery): Promise<void> {
    const versions = rollUp(this.#model.sortedVersions(), ({ key }) => key, query);
    const listed: string[] = [];
    let markers: { keyMarker?: string; versionIdMarker?: string } = {};
    for (let isTruncated = true; isTruncated; ) {
      const page = await this.#store.listVersions({ bucket: bucketName, ...query, ...markers });
      listed.push(...page.versions.map(({ key, versionId }) => `${key} ${versionId}`), ...page.commonPrefixes);
      assert.ok(page.versions.length + page.commonPrefixes.length === query.limit || !page.isTruncated);
      isTruncated = page.isTruncated;
      const { nextKeyMarker, nextVersionIdMarker } = page;
      markers = { keyMarker: nextKeyMarker!, ...(nextVersionIdMarker && { versionIdMarker: nextVersionIdMarker }) };
    }
    const expected = versions.map(({ item, name }) => (item ? `${name} ${item.versionId}` : name));
    // A page holds common prefixes apart from versions, so only without them is the order that of the listing.
    if (query.delimiter === '') assert.deepEqual(listed, expected);
    else assert.deepEqual(listed.sort(), expected.sort());

    const byKey = this.#model.uploads.toSorted((a, b) => (isAfter(a.key, b.key) ? 1 : a.key === b.key ? 0 : -1));
    const uploads = rollUp(byKey, ({ key }) => key, query);
    const page = await this.#store.listUploads({ bucket: bucketName, ...query, limit: 1000 });
    assert.deepEqual(
      page.uploads.map(({ uploadId }) => uploadId),
      uploads.flatMap(({ item }) => item?.uploadId ?? []),
    );
    assert.deepEqual(
      page.commonPrefixes,
      uploads.filter(({ item }) => item === undefined).map(({ name }) => name),
    );
  }

  /** Some new stripes, some of them degraded, and some live ones, as for a copy. */
  #chooseStripes(fresh: number, shared: readonly number[]) {
    // The second is degraded, and wasteful until three refer to it.
    const waste = { placed: 5, storedBytes: 20_000 };
    const stripes = Array.from({ length: fresh }, (_, index) => newStripe(index === 0 ? {} : waste));
    const live = [...this.#model.liveStripes()].sort();
    const copied = shared.flatMap((pick) => choose(live, pick) ?? []);
    const all = [...stripes.map(({ id }) => id as string), ...copied];
    return { stripes, all, extents: [...extentsOf(stripes), ...this.#extents(copied)] };
  }

  #register(stripes: readonly NewStripe[]): void {
    for (const stripe of stripes) {
      this.#stripes.set(stripe.id, stripe);
      this.everStripes.set(stripe.id, stripe);
    }
  }

  #extents(ids: readonly string[]) {
    return ids.map((id) => ({ stripeId: id as StripeId, offset: this.#offsets.get(id) ?? 0, length: 4096 }));
  }
}

function choose<T>(items: readonly T[], pick: number): T | undefined {
  return items[pick % Math.max(1, items.length)];
}

function toCondition(kind: StepOf<'put'>['condition'], etag: string | undefined): WriteCondition | undefined {
  if (kind === undefined) return undefined;
  return kind === 'absent' ? { kind } : { kind: 'etag', etag: kind === 'any' ? '*' : (etag ?? 'none') };
}
