import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId, StripeId } from '../../core/model.ts';
import { localSettingPrefix, type MetadataStore, systemProfileName } from '../../metadata/metadata-store.ts';
import type { MetadataRecord } from '../../metadata/record-store.ts';
import {
  createBucket,
  createClock,
  extentsOf,
  type MakeStore,
  newStripe,
  ownerId,
  providerRecord,
  putRequest,
  spansOf,
  uploadOf,
} from './metadata-fixtures.ts';
import { anyStep, type Step } from './model-steps.ts';
import { ModelWalk } from './model-walk.ts';
import { type Asked, readWhole } from './read-whole.ts';

const bucketNames = ['bucket', 'second', 'third'];
const settings = ['colour', 'local:shape', 'size'];

/** Steps beside those of a walk through one bucket: buckets come and go under the same names, and settings change. */
const anyAside = fc.oneof(
  fc.record({ verb: fc.constant('bucket' as const), name: fc.constantFrom('second', 'third') }),
  fc.record({ verb: fc.constant('set' as const), name: fc.constantFrom(...settings), value: fc.string() }),
  fc.record({ verb: fc.constant('system' as const), name: fc.constantFrom('x', 'y') }),
  fc.record({ verb: fc.constant('provider' as const), name: fc.constantFrom('p0', 'p5', 'q'), weight: fc.nat(2) }),
);
/** What upkeep does after a step. */
const anyUpkeep = fc.record({
  journal: fc.constantFrom('none', 'read', 'forget'),
  page: fc.integer({ min: 0, max: 3 }),
});
const anyHistory = fc.record({
  steps: fc.array(
    fc.tuple(fc.oneof({ weight: 6, arbitrary: anyStep }, { weight: 1, arbitrary: anyAside }), anyUpkeep),
    {
      minLength: 5,
      maxLength: 60,
      size: 'max',
    },
  ),
  snapshotAt: fc.nat(30),
  later: fc.array(anyStep, { maxLength: 8 }),
});
type Aside = typeof anyAside extends fc.Arbitrary<infer T> ? T : never;
type History = typeof anyHistory extends fc.Arbitrary<infer T> ? T : never;

export function testRecovery(make: MakeStore, runCount: number): void {
  describe('recovery', () => {
    it('comes to the same store from its changes alone, and from a fuzzy copy with the changes since', async () => {
      const property = fc.asyncProperty(anyHistory, (history) => checkHistory(make, history));
      await fc.assert(property, { numRuns: runCount });
    });
  });
}

async function checkHistory(make: MakeStore, history: History): Promise<void> {
  const clock = createClock();
  const original = await make({ clock });
  const byChanges = await make({ clock: createClock(0) });
  const byCopy = await make({ clock: createClock(0) });
  try {
    await createBucket(original.store);
    const walk = new ModelWalk(original.store);
    const journal = new Journal(original.store);
    for (const [index, [step, upkeep]] of history.steps.entries()) {
      clock.nowMs += 7;
      if (isAside(step)) await stepAside(original.store, step);
      else await walk.take(step);
      if (upkeep.journal !== 'none') await journal.note(upkeep.journal === 'forget');
      if (index >= history.snapshotAt && upkeep.page > 0) await journal.copyPage(upkeep.page);
    }
    await journal.copyRest();
    await journal.note(true);
    await importAll(byChanges.store, journal.all);
    await importAll(byCopy.store, [...journal.copied, ...journal.sinceCopy]);

    await dropSystemObjects(original.store);
    const asked = askFor(walk);
    const expected = await readWhole(original.store, asked);
    assert.deepEqual(await readWhole(byChanges.store, asked), expected);
    assert.deepEqual(await readWhole(byCopy.store, asked), expected);
    for (const { store } of [byChanges, byCopy]) assert.ok(store.drawNumber() > journal.highestNumber());
    for (const { store } of [original, byCopy]) await dropAsides(store);
    await walk.checkWhole();
    walk.moveTo(byCopy.store);
    for (const step of history.later) await walk.take(step);
    await walk.checkWhole();
  } finally {
    for (const { cleanUp } of [original, byChanges, byCopy]) await cleanUp();
  }
}

/** What a session of upkeep would keep of a store: every change set, and one copy with the change sets since it began. */
class Journal {
  readonly #store: MetadataStore;
  readonly all: MetadataRecord[] = [];
  readonly copied: MetadataRecord[] = [];
  readonly sinceCopy: MetadataRecord[] = [];
  #copy: 'none' | 'begun' | 'done' = 'none';
  #cursor: string | undefined;

  constructor(store: MetadataStore) {
    this.#store = store;
  }

  /** Without `forget`, as when the process is killed before the changes are forgotten. */
  async note(forget: boolean): Promise<void> {
    const changes = await this.#store.readChanges();
    const records = throughJson(changes.records);
    this.all.push(...records);
    if (this.#copy !== 'none') this.sinceCopy.push(...records);
    if (forget) await this.#store.forgetChanges(changes.mark);
  }

  async copyPage(limit: number): Promise<void> {
    if (this.#copy === 'done') return;
    const page = await this.#store.readRecords(this.#cursor, limit);
    assert.ok(page.records.length <= limit);
    this.copied.push(...throughJson(page.records));
    this.#cursor = page.cursor;
    this.#copy = page.cursor === undefined ? 'done' : 'begun';
  }

  async copyRest(): Promise<void> {
    while (this.#copy !== 'done') await this.copyPage(5);
  }

  highestNumber(): number {
    let highest = 0;
    for (const { kind, key, value } of this.all) {
      const { seq = 0, number = 0 } = (value ?? {}) as { seq?: number; number?: number };
      highest = Math.max(highest, seq, number, kind === 'version' || kind === 'upload' ? Number(key) : 0);
    }
    return highest;
  }
}

/** Records must be plain data, and say nothing of system objects or of what holds for one store alone. */
function throughJson(records: readonly MetadataRecord[]): MetadataRecord[] {
  const read = JSON.parse(JSON.stringify(records)) as MetadataRecord[];
  assert.deepEqual(read, records);
  const text = JSON.stringify(records);
  assert.ok(!text.includes(systemProfileName) && !text.includes(localSettingPrefix));
  return read;
}

async function importAll(store: MetadataStore, records: readonly MetadataRecord[]): Promise<void> {
  for (let at = 0; at < records.length; at += 7) await store.importRecords(records.slice(at, at + 7));
  const report = await store.finishImport();
  assert.deepEqual(report.missingStripes, []);
  assert.equal(report.versions, (await store.countUsage()).versions);
}

function isAside(step: Aside | Step): step is Aside {
  return ['bucket', 'set', 'system', 'provider'].includes(step.verb);
}

/** Adds, changes or removes a provider; those that are in use stay. */
async function changeProvider(store: MetadataStore, name: string, weight: number): Promise<void> {
  if (weight > 0) return store.putProvider(providerRecord(name, { weight }));
  await store.forgetProvider(name as ProviderId).catch((error: unknown) => {
    if (!isFailure(error, 'provider-in-use')) throw error;
  });
}

async function stepAside(store: MetadataStore, step: Aside): Promise<void> {
  if (step.verb === 'set') return store.putSetting(step.name, step.value);
  if (step.verb === 'provider') return changeProvider(store, step.name, step.weight);
  if (step.verb === 'system') return putSystemObject(store, step.name);
  const bucket = step.name;
  if (await store.findBucket(bucket)) return dropBucket(store, bucket);
  await createBucket(store, 'enabled', bucket);
  await store.putVersion(putRequest('key', { bucket }));
  await store.createUpload({ ...uploadOf('big', `upload in ${bucket} ${store.drawNumber()}`), bucket });
}

async function dropBucket(store: MetadataStore, bucket: string): Promise<void> {
  for (const { key, versionId } of (await store.listVersions({ bucket, limit: 1000 })).versions) {
    await store.deleteVersion({ bucket, key, versionId, ownerId, nowMs: 1 });
  }
  await store.deleteBucket(bucket);
}

async function putSystemObject(store: MetadataStore, name: string): Promise<void> {
  const stripe = { ...newStripe(), profileName: systemProfileName };
  const content = { sizeBytes: 4096, spans: spansOf(extentsOf([stripe])) };
  await store.putSystemObject({ name, number: store.drawNumber(), ...content, stripes: [stripe] });
  await forgetSystemStripes(store);
}

async function forgetSystemStripes(store: MetadataStore): Promise<void> {
  const freed = await store.listFreedStripes(Number.MAX_SAFE_INTEGER, 1000);
  for (const { id, profileName } of freed) if (profileName === systemProfileName) await store.forgetStripe(id);
}

async function dropSystemObjects(store: MetadataStore): Promise<void> {
  await store.deleteSystemObjects((await store.listSystemObjects()).map(({ name }) => name));
  await forgetSystemStripes(store);
}

async function dropAsides(store: MetadataStore): Promise<void> {
  for (const name of bucketNames.slice(1)) if (await store.findBucket(name)) await dropBucket(store, name);
}

function askFor(walk: ModelWalk): Asked {
  return {
    bucketNames,
    uploads: [...walk.uploadKeys].map(([uploadId, key]) => ['bucket', key, uploadId]),
    stripeIds: [...walk.everStripes.keys()] as StripeId[],
    cids: [...walk.everStripes.values()].flatMap(({ shards }) => shards.map(({ cid }) => cid)),
    numbers: walk.everNumbers,
    settings: settings.filter((name) => !name.startsWith(localSettingPrefix)),
  };
}
