import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Failure, isFailure } from '../../core/failure.ts';
import { type Log, silentLog } from '../../core/log.ts';
import type { ProviderId, ProviderRecord, ShardCid } from '../../core/model.ts';
import { type ProviderChanges, type ProviderSettings, providerSchema } from '../../core/provider-settings.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { FleetKeeper, type FleetKeeperParts } from '../../engine/fleet/fleet-keeper.ts';
import { shardCid } from '../../erasure/shard-format.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import { openMemoryStore } from '../../metadata/sqlite/sqlite-store.ts';
import { Fleet } from '../../placement/fleet.ts';
import { ProviderHealth } from '../../placement/provider-health.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { withOrderlyClose } from '../../placement/providers/with-orderly-close.ts';
import { type CallWork, type ProviderCall, WrappedProvider } from '../../placement/providers/wrapped-provider.ts';
import { pollUntil } from '../harness/poll-until.ts';

const startMs = 1_700_000_000_000;
const minuteMs = 60_000;
const lostAfterMs = 15 * minuteMs;
const masterKey = new MasterKey(Buffer.alloc(32, 'keeper'));

const id = (name: string): ProviderId => name as ProviderId;
const directory = (name: string, settings: object = {}): ProviderSettings =>
  providerSchema.parse({ id: name, kind: 'directory', path: `/nowhere/${name}`, reserveBytes: 0, ...settings });

const movedTo = (name: string): ProviderChanges => ({
  location: { kind: 'directory', path: `/nowhere/${name}`, reserveBytes: 0, segmentShardBytes: 0 },
});

/** What there is at a path, whether anybody has opened it or not. */
class Place {
  readonly content: Provider;
  fault: Error | undefined;
  isOpen = false;
  /** Reads wait for it. */
  gate: Promise<void> | undefined;

  constructor(path: string) {
    this.content = createMemoryProvider({ id: id(path.slice(path.lastIndexOf('/') + 1)) });
  }

  /** Belongs to one at a time, as a directory does. */
  open(): Provider {
    if (this.fault !== undefined) throw this.fault;
    assert.equal(this.isOpen, false, 'it is open already');
    this.isOpen = true;
    return withOrderlyClose(new OpenPlace(this), { waitMs: 5_000 });
  }
}

class OpenPlace extends WrappedProvider {
  readonly #place: Place;

  constructor(place: Place) {
    super(place.content);
    this.#place = place;
  }

  protected override async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    assert.ok(this.#place.isOpen, `${call} after it was closed`);
    if (call === 'statShard') await this.#place.gate;
    return work(signal);
  }

  override async close(): Promise<void> {
    this.#place.isOpen = false;
  }
}

/** A keeper over places in memory and a store whose writes can be made to fail. */
class World {
  readonly clock = { nowMs: startMs, now: () => this.clock.nowMs };
  readonly places = new Map<string, Place>();
  readonly warnings: { readonly text: string; readonly about: Record<string, unknown> }[] = [];
  /** Who has shards of stripes. */
  readonly holders = new Set<ProviderId>();
  /** Writes to the store so far, and which of them fails. */
  writes = 0;
  /** Why nobody may be removed. */
  hindrance: string | undefined;
  failingWrite: number | undefined;
  readonly #store: MetadataStore;
  fleet!: Fleet;
  keeper!: FleetKeeper;

  private constructor(store: MetadataStore) {
    this.#store = store;
    this.restart();
  }

  static async create(seeds: readonly ProviderSettings[] = []): Promise<World> {
    const clock = { now: () => startMs };
    const world = new World(await openMemoryStore({ clock, log: silentLog }));
    if (seeds.length > 0) await world.keeper.open(seeds, { isDefault: false });
    return world;
  }

  /** A keeper as after a restart of the process, before it has opened anything. */
  restart(): void {
    const health = new ProviderHealth({ clock: this.clock, suspectMs: 1_000 });
    this.fleet = new Fleet({ members: [], health, clock: this.clock, lostAfterMs });
    const warn = (about: Record<string, unknown>, text: string): void => void this.warnings.push({ about, text });
    this.keeper = new FleetKeeper({
      metadata: this.#metadata(),
      fleet: this.fleet,
      clock: this.clock,
      log: { ...silentLog, info: () => {}, warn } as unknown as Log,
      masterKey,
      openProvider: async ({ location }) => this.placeAt(location).open(),
      settleRemoval: async () => this.hindrance,
      retryMs: 5_000,
      measureMs: 30_000,
    });
  }

  placeAt(location: ProviderRecord['location']): Place {
    assert.ok(location.kind === 'directory');
    const known = this.places.get(location.path) ?? new Place(location.path);
    this.places.set(location.path, known);
    return known;
  }

  place(name: string): Place {
    return this.placeAt({ kind: 'directory', path: `/nowhere/${name}`, reserveBytes: 0, segmentShardBytes: 0 });
  }

  putRecord(record: ProviderRecord): Promise<void> {
    return this.#store.putProvider(record);
  }

  records(): Promise<ProviderRecord[]> {
    return this.#store.listProviders();
  }

  /** All that a change of the fleet may change, but for what was measured. */
  async look(): Promise<unknown> {
    return {
      stored: await this.records(),
      inForce: this.fleet.records,
      members: this.fleet.members.map(({ record }) => record),
      open: [...this.places].filter(([, { isOpen }]) => isOpen).map(([path]) => path),
    };
  }

  async states(): Promise<string[]> {
    return (await this.keeper.list()).map((view) => `${view.id} ${view.state} ${view.standing}`);
  }

  async close(): Promise<void> {
    await this.keeper.close();
    assert.ok(![...this.places.values()].some(({ isOpen }) => isOpen), 'all are closed');
    await this.#store.close();
  }

  #metadata(): FleetKeeperParts['metadata'] {
    const store = this.#store;
    const write = async <T>(work: () => Promise<T>): Promise<T> => {
      this.writes += 1;
      if (this.writes === this.failingWrite) throw new Error('the disk of the store is full');
      return work();
    };
    return {
      listProviders: () => store.listProviders(),
      findSetting: (name) => store.findSetting(name),
      putProvider: (record) => write(() => store.putProvider(record)),
      putSetting: (name, value) => write(() => store.putSetting(name, value)),
      forgetProvider: (providerId) =>
        write(async () => {
          if (this.holders.has(providerId))
            throw new Failure('provider-in-use', { providerId, reason: 'it has shards' });
          await store.forgetProvider(providerId);
        }),
      listPlacements: async () => {
        const providers = [...this.holders];
        const shape = { id: 1, profileName: 'STANDARD', k: 1, m: 0, shardCount: 1, stripes: 1, storedBytes: 10 };
        return providers.length === 0 ? [] : [{ ...shape, providers }];
      },
    };
  }
}

const failsWith =
  (kind: 'provider-in-use' | 'provider-refused' | 'provider-unknown', reason?: RegExp) => (error: unknown) => {
    assert.ok(isFailure(error, kind), String(error));
    if (reason !== undefined) assert.match((error.detail as { reason: string }).reason, reason);
    return true;
  };

describe('the keeper of the fleet', () => {
  let world: World;
  beforeEach(async () => {
    world = await World.create([directory('a'), directory('b')]);
  });
  afterEach(() => world.close());

  describe('and the configuration', () => {
    const restart = async (seeds: readonly ProviderSettings[], isDefault = false): Promise<void> => {
      await world.keeper.close();
      world.warnings.length = 0;
      world.restart();
      await world.keeper.open(seeds, { isDefault });
    };

    it('takes in what it names, durably', async () => {
      assert.deepEqual(await world.states(), ['a active up', 'b active up']);
      assert.deepEqual(
        (await world.records()).map(({ id: name, state }) => [name, state]),
        [
          ['a', 'active'],
          ['b', 'active'],
        ],
      );
    });

    it('adds what is new in it, and keeps what is no longer there', async () => {
      await restart([directory('b'), directory('c')]);
      assert.deepEqual(await world.states(), ['a active up', 'b active up', 'c active up']);
      assert.deepEqual(world.warnings, []);
    });

    it('says once for each provider where it differs, and goes by the store', async () => {
      await world.keeper.set(id('a'), { weight: 3 });
      await restart([directory('a', { weight: 2, zone: 'z' }), directory('b')]);
      assert.equal(world.fleet.findRecord(id('a'))?.weight, 3);
      assert.deepEqual(
        world.warnings.map(({ about }) => about),
        [{ provider: 'a', differences: ['weight is 3, not 2', 'zone is "", not "z"'] }],
      );
    });

    it('means nothing where nobody wrote it and there are providers', async () => {
      await restart([directory('a', { weight: 2 }), directory('c')], true);
      assert.deepEqual(await world.states(), ['a active up', 'b active up']);
      assert.deepEqual(world.warnings, []);
    });

    it('does not bring back what was removed, until it is added again', async () => {
      await world.keeper.remove(id('b'), { isLost: false });
      await restart([directory('a'), directory('b')]);
      assert.deepEqual(await world.states(), ['a active up']);
      assert.match(world.warnings[0]!.text, /was removed from the fleet, and stays out/);
      await world.keeper.add(directory('b'));
      await restart([directory('a'), directory('b')]);
      assert.deepEqual(await world.states(), ['a active up', 'b active up']);
      assert.deepEqual(world.warnings, []);
    });

    it('must be right when the store is new: what does not open is not taken in', async () => {
      const fresh = await World.create();
      fresh.place('x').fault = new Error('no such disk');
      await assert.rejects(fresh.keeper.open([directory('x')], { isDefault: false }), /no such disk/);
      assert.deepEqual(await fresh.records(), []);
      await fresh.close();
    });

    it('does not hold up a start when a provider that was in use is away', async () => {
      world.place('b').fault = new Error('no such disk');
      await restart([directory('a'), directory('b')]);
      assert.deepEqual(await world.states(), ['a active up', 'b active down']);
      assert.equal((await world.keeper.list())[1]?.fault, 'no such disk');
    });
  });

  it('takes a provider in once it was tried, and leaves nothing behind', async () => {
    const { provider } = await world.keeper.add(directory('c', { operator: 'acme' }));
    assert.deepEqual([provider.state, provider.standing, provider.operator], ['active', 'up', 'acme']);
    assert.ok(provider.totalBytes! > 0);
    assert.deepEqual((await world.place('c').content.listShards(undefined, 10)).shards, []);
    assert.deepEqual(await world.states(), ['a active up', 'b active up', 'c active up']);
  });

  it('refuses whoever is there already, holds shards of somebody else, or does not open; and nothing is changed', async () => {
    const bytes = Buffer.from('of another gateway');
    await world.place('taken').content.putShard(shardCid(bytes, bytes), [bytes]);
    world.place('broken').fault = new Error('no such disk');
    const before = await world.look();
    await assert.rejects(world.keeper.add(directory('a')), failsWith('provider-in-use'));
    await assert.rejects(
      world.keeper.add(directory('c', { path: '/nowhere/a' })),
      failsWith('provider-refused', /is the provider a already/),
    );
    await assert.rejects(world.keeper.add(directory('taken')), failsWith('provider-refused', /holds shards/));
    await assert.rejects(world.keeper.add(directory('broken')), failsWith('provider-refused', /no such disk/));
    await nextTurn();
    assert.deepEqual(await world.look(), before);
  });

  for (const [what, isKilled] of [
    ['that was stopped', false],
    ['that was killed', true],
  ] as const) {
    it(`counts for how long a provider was down across a restart of a gateway ${what}, but not while there was none`, async () => {
      const fault = new Error('no such disk');
      for (const name of ['a', 'b']) {
        await world.keeper.suspend(id(name));
        await pollUntil('it is closed', () => !world.place(name).isOpen);
        world.place(name).fault = fault;
        await world.keeper.resume(id(name));
      }
      world.clock.nowMs += 10 * minuteMs;
      await world.keeper.noteDown(false);
      assert.deepEqual(await world.states(), ['a active down', 'b active down']);
      if (!isKilled) await world.keeper.close();
      // A night in which nobody looked.
      world.clock.nowMs += 600 * minuteMs;
      world.restart();
      world.place('b').fault = undefined;
      await world.keeper.open([], { isDefault: false });
      assert.deepEqual(await world.states(), ['a active down', 'b active up']);
      world.clock.nowMs += 4 * minuteMs;
      assert.deepEqual(await world.states(), ['a active down', 'b active up']);
      world.clock.nowMs += 2 * minuteMs;
      assert.deepEqual(await world.states(), ['a active lost', 'b active up']);
      // It opened, but no call has shown yet that it is well: what it was before still counts.
      world.fleet.health.recordFailure(id('b'), true);
      assert.deepEqual(await world.states(), ['a active lost', 'b active lost']);
      world.fleet.health.recordSuccess(id('b'));
      world.fleet.health.recordFailure(id('b'), true);
      assert.deepEqual(await world.states(), ['a active lost', 'b active down']);
      await world.keeper.noteDown(false);
      await world.keeper.close();
      world.restart();
      world.place('a').fault = undefined;
      await world.keeper.open([], { isDefault: false });
      await world.keeper.noteDown(false);
      assert.deepEqual(await world.states(), ['a active up', 'b active up']);
    });
  }

  it('does not write anew at each look who is down', async () => {
    world.fleet.health.recordFailure(id('a'), true);
    const before = world.writes;
    for (let look = 0; look < 12; look++) {
      await world.keeper.noteDown(false);
      world.clock.nowMs += 5_000;
    }
    assert.equal(world.writes - before, 1);
    await world.keeper.noteDown(false);
    assert.equal(world.writes - before, 2);
    world.fleet.health.recordSuccess(id('a'));
    await world.keeper.noteDown(false);
    await world.keeper.noteDown(false);
    assert.equal(world.writes - before, 3);
  });

  it('takes one for joined that holds shards, where a recovered store was not told so any more', async () => {
    const [record] = await world.records();
    await world.keeper.close();
    await world.putRecord({ ...record!, state: 'joining' });
    const shard = Buffer.from('a shard');
    await world.place('a').content.putShard(shardCid(shard, Buffer.from('rest')), [shard]);
    world.holders.add(id('a'));
    world.restart();
    await world.keeper.open([], { isDefault: false });
    assert.deepEqual(await world.states(), ['a active up', 'b active up']);
    assert.equal((await world.records())[0]!.state, 'active');
  });

  it('knows nothing of a provider that is not there', async () => {
    for (const verb of ['suspend', 'resume', 'drain'] as const) {
      await assert.rejects(world.keeper[verb](id('nobody')), failsWith('provider-unknown'));
    }
    await assert.rejects(world.keeper.set(id('nobody'), { weight: 1 }), failsWith('provider-unknown'));
    await assert.rejects(world.keeper.remove(id('nobody'), { isLost: true }), failsWith('provider-unknown'));
  });

  it('goes through the states that an operator asks for, and no other way', async () => {
    await world.keeper.suspend(id('a'));
    assert.deepEqual(await world.states(), ['a suspended down', 'b active up']);
    await pollUntil('it is closed', () => !world.place('a').isOpen);
    assert.equal((await world.keeper.drain(id('a'))).state, 'draining');
    assert.ok(world.fleet.find(id('a')));
    assert.equal((await world.keeper.resume(id('a'))).state, 'active');
    world.holders.add(id('a'));
    assert.equal(await world.keeper.remove(id('a'), { isLost: true }), false);
    assert.deepEqual(await world.states(), ['a gone lost', 'b active up']);
    await assert.rejects(world.keeper.suspend(id('a')), failsWith('provider-in-use', /it is gone/));
    assert.equal((await world.keeper.resume(id('a'))).standing, 'up');
  });

  it('does not remove what upkeep still needs, and says why; one that is lost is removed all the same', async () => {
    world.hindrance = 'three old copies';
    await assert.rejects(
      world.keeper.remove(id('a'), { isLost: false }),
      (error) => isFailure(error, 'provider-in-use') && error.detail.reason === 'three old copies',
    );
    assert.equal(world.fleet.findRecord(id('a'))?.state, 'active');
    assert.equal(await world.keeper.remove(id('a'), { isLost: true }), true);
    world.hindrance = undefined;
    assert.equal(await world.keeper.remove(id('b'), { isLost: false }), true);
  });

  it('does not remove what holds shards, unless it is lost; then when nothing names it any more', async () => {
    world.holders.add(id('a'));
    const before = await world.look();
    await assert.rejects(
      world.keeper.remove(id('a'), { isLost: false }),
      failsWith('provider-in-use', /drain it first/),
    );
    assert.deepEqual(await world.look(), before);
    await world.keeper.remove(id('a'), { isLost: true });
    await world.keeper.forgetGone();
    assert.deepEqual(await world.states(), ['a gone lost', 'b active up']);
    world.holders.clear();
    await world.keeper.forgetGone();
    assert.deepEqual(await world.states(), ['b active up']);
  });

  it('opens a provider where it is now, and stays with the old place where the new one is wrong', async () => {
    world.holders.add(id('a'));
    const before = await world.look();
    await assert.rejects(
      world.keeper.set(id('a'), movedTo('other')),
      failsWith('provider-refused', /nothing there says/),
    );
    await pollUntil('the other is closed', () => !world.place('other').isOpen);
    assert.deepEqual(await world.look(), before);
    world.holders.clear();
    await world.keeper.set(id('a'), movedTo('other'));
    await pollUntil('the old one is closed', () => !world.place('a').isOpen);
    assert.ok(world.place('other').isOpen);
    assert.deepEqual(await world.states(), ['a active up', 'b active up']);
  });

  it('lets calls end that are under way, and opens nothing twice meanwhile', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const place = world.place('a');
    place.gate = promise;
    const cid = shardCid(Buffer.from('1'), Buffer.from('2')) as ShardCid;
    const provider = world.fleet.find(id('a'))!;
    const call = provider.statShard(cid);
    call.catch(() => {});
    await world.keeper.suspend(id('a'));
    assert.equal(world.fleet.find(id('a')), undefined);
    assert.ok(place.isOpen, 'the call is under way');
    let isResumed = false;
    const resumed = world.keeper.resume(id('a')).then(() => {
      isResumed = true;
    });
    await pollUntil('it is to be opened', async () => (await world.records())[0]?.state === 'active');
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    assert.deepEqual([isResumed, place.isOpen], [false, true]);
    place.gate = undefined;
    resolve();
    await assert.rejects(call, (error) => isFailure(error, 'shard-missing'));
    await resumed;
    assert.ok(world.fleet.find(id('a')) && world.fleet.find(id('a')) !== provider && place.isOpen);
    const second = Promise.withResolvers<void>();
    place.gate = second.promise;
    const last = world.fleet.find(id('a'))!.statShard(cid);
    last.catch(() => {});
    assert.equal(await world.keeper.remove(id('a'), { isLost: false }), true);
    assert.ok(place.isOpen, 'it is out of the fleet, and its call still under way');
    second.resolve();
    await assert.rejects(last, (error) => isFailure(error, 'shard-missing'));
    await pollUntil('it is closed', () => !place.isOpen);
  });

  it('changes nothing when a write to the store fails, whichever it is', async () => {
    const changes: Readonly<Record<string, (keeper: FleetKeeper) => Promise<unknown>>> = {
      add: (keeper) => keeper.add(directory('c')),
      set: (keeper) => keeper.set(id('a'), { weight: 5 }),
      move: (keeper) => keeper.set(id('a'), movedTo('z')),
      suspend: (keeper) => keeper.suspend(id('a')),
      resume: (keeper) => keeper.resume(id('b')),
      drain: (keeper) => keeper.drain(id('a')),
      remove: (keeper) => keeper.remove(id('a'), { isLost: false }),
    };
    const writes: Record<string, number> = {};
    for (const [name, change] of Object.entries(changes)) {
      for (let failing = 1; ; failing++) {
        const other = await World.create([directory('a'), directory('b')]);
        await other.keeper.suspend(id('b'));
        await pollUntil('b is closed', () => !other.place('b').isOpen);
        const before = await other.look();
        other.clock.nowMs += 1_000;
        other.writes = 0;
        other.failingWrite = failing;
        const outcome = await change(other.keeper).then(
          () => 'done',
          () => 'failed',
        );
        const isReached = other.writes >= failing;
        assert.equal(outcome, isReached ? 'failed' : 'done', `${name}, write ${failing}`);
        if (isReached) {
          await nextTurn();
          assert.deepEqual(await other.look(), before, `${name}, write ${failing}`);
          other.failingWrite = undefined;
          await change(other.keeper);
        }
        await other.close();
        writes[name] = failing - 1;
        if (!isReached) break;
      }
    }
    assert.deepEqual(writes, { add: 2, set: 1, move: 1, suspend: 1, resume: 1, drain: 1, remove: 3 });
  });

  it('finishes later what a failing store kept it from: to forget one that is lost', async () => {
    world.writes = 0;
    world.failingWrite = 3;
    await assert.rejects(world.keeper.remove(id('a'), { isLost: true }), /the store is full/);
    assert.deepEqual(await world.states(), ['a gone lost', 'b active up']);
    await world.keeper.forgetGone();
    assert.deepEqual(await world.states(), ['b active up']);
  });
});

describe('the keeper of the fleet in the background', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
  afterEach(() => mock.timers.reset());

  it('tries one again that does not open, until it does', async () => {
    const world = await World.create([directory('a'), directory('b')]);
    world.keeper.start();
    await world.keeper.suspend(id('a'));
    world.place('a').fault = new Error('no such disk');
    const resumed = await world.keeper.resume(id('a'));
    assert.deepEqual([resumed.standing, resumed.fault], ['down', 'no such disk']);
    const tries = (): number => world.warnings.filter(({ text }) => text.includes('tried again later')).length;
    assert.equal(tries(), 1);
    mock.timers.tick(5_000);
    await pollUntil('it was tried again', () => tries() === 2);
    world.place('a').fault = undefined;
    await nextTurn();
    mock.timers.tick(5_000);
    await pollUntil('it is open', () => world.fleet.find(id('a')) !== undefined);
    assert.deepEqual(await world.states(), ['a active up', 'b active up']);
    await world.close();
  });

  it('measures space and forgets who is gone', async () => {
    const world = await World.create([directory('a'), directory('b')]);
    world.keeper.start();
    world.holders.add(id('a'));
    await world.keeper.remove(id('a'), { isLost: true });
    world.holders.clear();
    await world.place('b').content.putShard(shardCid(Buffer.alloc(1), Buffer.alloc(1)), [Buffer.alloc(1_000)]);
    mock.timers.tick(30_000);
    await pollUntil('a is forgotten', async () => (await world.records()).length === 1);
    const { totalBytes, freeBytes } = world.fleet.capacityOf(id('b'))!;
    assert.equal(totalBytes - freeBytes, 1_000);
    await world.close();
  });

  it('does nothing any more once it is closed', async () => {
    const world = await World.create([directory('a')]);
    world.keeper.start();
    await world.keeper.close();
    await assert.rejects(world.keeper.suspend(id('a')), { name: 'AbortError' });
    mock.timers.tick(60_000);
    assert.deepEqual(world.warnings, []);
    await world.close();
  });
});
