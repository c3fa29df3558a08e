import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { createLog } from '../../core/log.ts';
import type { PlacedShard, ProviderId, Stripe, StripeId } from '../../core/model.ts';
import { createEngine } from '../../engine/create-engine.ts';
import { shardPayloadBytes, storedShardCount } from '../../erasure/geometry.ts';
import { footerBytes, shardBlockOffset, shardBytes, shardHeaderBytes } from '../../erasure/shard-format.ts';
import type { FaultyProvider } from '../../placement/providers/faulty-provider.ts';
import {
  assertBudgetsFree,
  bucketName,
  get,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  readMetric,
  verifyShards,
} from '../engine/engine-harness.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertStatusIsTrue, createWorld, listStripes, providerOf, type UpkeepWorld } from './upkeep-world.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** How many shards of a stripe lie at these providers. */
function countAt({ shards }: Stripe, ids: readonly ProviderId[]): number {
  return shards.filter(({ providerId }) => ids.includes(providerId)).length;
}

/** Objects of several shapes: packs, stripes of one row, of several rows, and several stripes. */
async function fill(world: UpkeepWorld, count = 12): Promise<Map<string, Uint8Array>> {
  const contents = new Map<string, Uint8Array>();
  const sizes = [3_000, 70 * KiB, 200 * KiB, 1_300 * KiB];
  for (let at = 0; at < count; at++) {
    const key = `key ${at}`;
    const bytes = patternBytes(sizes[at % sizes.length]!, key);
    await put(world, key, bytes);
    contents.set(key, bytes);
  }
  return contents;
}

/** An object of several stripes, each with shards elsewhere. */
async function putInParts({ engine }: UpkeepWorld): Promise<Uint8Array> {
  const target = { bucket: bucketName, key: 'parts' };
  const { uploadId } = await engine.uploads.create({ ...target, ownerId, attributes: plainAttributes });
  const bodies = [1, 2, 3, 4].map((number) => patternBytes(200 * KiB, `part ${number}`));
  const parts = [];
  for (const [at, bytes] of bodies.entries()) {
    const part = { ...target, uploadId, partNumber: at + 1, payload: payloadOf(bytes) };
    const { etag } = await engine.uploads.putPart(part, never);
    parts.push({ partNumber: at + 1, etag });
  }
  await engine.uploads.complete({ ...target, uploadId, parts }, never);
  return Buffer.concat(bodies);
}

async function assertWhole(world: UpkeepWorld, contents: ReadonlyMap<string, Uint8Array>): Promise<void> {
  for (const stripe of await listStripes(world)) {
    assert.equal(stripe.shards.length, storedShardCount(stripe));
    assert.equal(new Set(stripe.shards.map(({ providerId }) => providerId)).size, stripe.shards.length);
    for (const { providerId } of stripe.shards) assert.equal(world.fleet.standingOf(providerId), 'up');
  }
  for (const [key, bytes] of contents) {
    await verifyShards(world, key);
    assert.ok((await get(world, key)).equals(bytes), key);
  }
  await assertBudgetsFree(world);
}

/** Notes in which order shards are recorded. */
function watchRecords({ metadata }: UpkeepWorld): StripeId[] {
  const order: StripeId[] = [];
  const recordShard = metadata.recordShard.bind(metadata);
  metadata.recordShard = (id, shard) => {
    order.push(id);
    return recordShard(id, shard);
  };
  return order;
}

describe('repair of lost providers', () => {
  let world: UpkeepWorld;
  beforeEach(async () => {
    world = await createWorld({ providerCount: 10, limits: { minPartBytes: 1 } });
  });
  afterEach(() => world.close());

  it('brings redundancy back to full, and the status tells the truth before, on the way and after', async () => {
    const contents = await fill(world, 16);
    contents.set('parts', await putInParts(world));
    await assertStatusIsTrue(world, 'at first');
    world.setStanding('p1' as ProviderId, 'down');
    await assertStatusIsTrue(world, 'one is down');
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, 0, 'it is expected back');
    world.setStanding('p1' as ProviderId, 'lost');
    await assertStatusIsTrue(world, 'one is lost');
    world.setStanding('p2' as ProviderId, 'down');
    world.setStanding('p3' as ProviderId, 'lost');
    await assertStatusIsTrue(world, 'two are lost and one is down');
    const { stripes } = (await world.upkeep.readStatus()).backlog;
    const lost = ['p1', 'p3'] as ProviderId[];
    const affected = (await listStripes(world)).filter((stripe) => countAt(stripe, lost) > 0);
    assert.equal(stripes, affected.length);
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'what can be repaired is');
    world.setStanding('p2' as ProviderId, 'up');
    world.clock.nowMs += 60_000;
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'at last');
    await assertWhole(world, contents);
    const { margins, backlog } = await world.upkeep.readStatus();
    assert.deepEqual(
      margins.filter(({ stripes: count }) => count > 0).map(({ margin }) => margin),
      [2],
    );
    assert.deepEqual(backlog, { stripes: 0, shards: 0, storedBytes: 0, oldestMs: undefined });
  });

  it('takes a second shard at one provider for no redundancy, and writes it again elsewhere', async () => {
    const contents = await fill(world, 4);
    const stripes = await listStripes(world);
    for (const { id, shards } of stripes) {
      const [first, second] = shards;
      // As after a recovery that found one nowhere else.
      const bytes = shardBytes((await world.metadata.findStripes([id])).get(id)!, second!.index);
      const whole = await providerOf(world, second!.providerId).readShard(second!.cid, 0, bytes, never);
      await providerOf(world, first!.providerId).putShard(second!.cid, [whole], never);
      await world.metadata.recordShard(id, { ...second!, providerId: first!.providerId });
    }
    const { margins, backlog } = await world.upkeep.readStatus();
    assert.deepEqual(
      margins.filter((each) => each.stripes > 0).map(({ margin }) => margin),
      [1],
    );
    assert.equal(backlog.shards, stripes.length);
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'at last');
    await assertWhole(world, contents);
  });

  it('begins with the stripes that can bear no further loss', async () => {
    // One row's memory a quarter of all: then it repairs one stripe at a time.
    const narrow = await createWorld({ providerCount: 10, limits: { readBudgetBytes: 6 * MiB } });
    await fill(narrow, 24);
    const lost = ['p0', 'p1'] as ProviderId[];
    const before = new Map((await listStripes(narrow)).map((stripe) => [stripe.id, countAt(stripe, lost)]));
    for (const id of lost) narrow.setStanding(id, 'lost');
    const order = watchRecords(narrow);
    await narrow.upkeep.runOnce();
    const counts = order.map((id) => before.get(id)!);
    assert.ok(counts.includes(2) && counts.includes(1), 'there are stripes of both kinds');
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => b - a),
    );
    await narrow.close();
  });

  it('reads each byte that it needs once, however many shards of a stripe are lacking', async () => {
    // Nobody is asked in place of one that is late on a busy machine.
    const patient = await createWorld({ providerCount: 10, limits: { hedgeMs: 60_000 }, timeoutMs: 60_000 });
    const contents = await fill(patient, 16);
    const lost = ['p0', 'p1'] as ProviderId[];
    const before = await listStripes(patient);
    for (const id of lost) patient.setStanding(id, 'lost');
    patient.calls.length = 0;
    await patient.upkeep.runOnce();
    const read = new Map<string, number>();
    for (const call of patient.calls) {
      const [provider, name, cid, , length] = call.split(' ');
      if (name === 'readShard') read.set(`${provider} ${cid}`, (read.get(`${provider} ${cid}`) ?? 0) + Number(length));
    }
    let isBoth = false;
    for (const stripe of before) {
      const lacking = countAt(stripe, lost);
      isBoth ||= lacking === 2;
      const good = stripe.shards.filter(({ providerId }) => !lost.includes(providerId));
      let total = 0;
      for (const { index, providerId, cid } of good) {
        const bytes = read.get(`${providerId} ${cid}`) ?? 0;
        assert.ok(bytes <= shardBytes(stripe, index) - shardHeaderBytes, 'no byte of a survivor is read twice');
        total += bytes;
      }
      // As many blocks of each row as it takes, and the footers that prove them.
      const shards = storedShardCount(stripe) - stripe.m;
      const blocks = shards * shardPayloadBytes(stripe, stripe.k + stripe.m - 1);
      const footers = good.reduce((sum, { index }) => sum + footerBytes(stripe, index), 0);
      assert.ok(total <= (lacking > 0 ? blocks + footers : 0), `${total} bytes for ${lacking} shards, of ${blocks}`);
      assert.ok(lacking === 0 || total > 0);
    }
    assert.ok(isBoth, 'some lack two shards');
    await assertWhole(patient, contents);
    await patient.close();
  });

  it('goes on after a restart in the middle', async () => {
    const contents = await fill(world, 24);
    world.setStanding('p4' as ProviderId, 'lost');
    const recordShard = world.metadata.recordShard.bind(world.metadata);
    let recorded = 0;
    world.metadata.recordShard = async (id, shard) => {
      recorded += 1;
      if (recorded > 3) throw new Error('the process died');
      await recordShard(id, shard);
    };
    await assert.rejects(world.upkeep.runOnce(), { message: 'the process died' });
    await world.upkeep.stop();
    world.metadata.recordShard = recordShard;
    const second = createEngine(world.parts);
    const again: UpkeepWorld = { ...world, ...second };
    await assertStatusIsTrue(again, 'after the restart');
    world.clock.nowMs += 60_000;
    await second.upkeep.runOnce();
    await assertStatusIsTrue(again, 'at last');
    await assertWhole(again, contents);
    await second.upkeep.stop();
  });

  it('does not believe a provider that acknowledges and keeps nothing', async () => {
    const contents = await fill(world, 12);
    world.setStanding('p5' as ProviderId, 'lost');
    const liar = await findNextHolder(world, 'p5' as ProviderId);
    liar.faults.always('putShard', 'lose');
    liar.faults.always('commit', 'lose');
    await world.upkeep.runOnce();
    assert.ok((await readMetric(world.metrics.shardsNotKept, { provider: liar.id })) > 0);
    liar.faults.clear();
    await assertStatusIsTrue(world, 'what was recorded is there');
    await assertWhole(world, contents);
  });

  it('does not believe a provider that turns over bits as it writes', async () => {
    const contents = await fill(world, 12);
    // One that holds something: what an earlier loss emptied may hold nothing yet.
    const lost = (await listStripes(world))[0]!.shards[0]!.providerId;
    world.setStanding(lost, 'lost');
    const liar = await findNextHolder(world, lost);
    liar.faults.always('putShard', 'flip');
    liar.faults.always('append', 'flip');
    await world.upkeep.runOnce();
    assert.ok((await readMetric(world.metrics.shardsNotKept, { provider: liar.id })) > 0);
    liar.faults.clear();
    await assertWhole(world, contents);
  });
});

/** Who will get the first shard that lay at a lost provider. */
async function findNextHolder(world: UpkeepWorld, lost: ProviderId): Promise<FaultyProvider> {
  const stripe = (await listStripes(world)).find((each) => countAt(each, [lost]) > 0)!;
  const holders = stripe.shards.map(({ providerId }) => providerId).filter((id) => id !== lost);
  const placer = world.fleet.placeStripe({ id: stripe.id, k: stripe.k, m: stripe.m, holders });
  let next = placer.take()!;
  if (next.id === lost) {
    placer.giveBack(next);
    next = placer.take()!;
  }
  return providerOf(world, next.id);
}

describe('what can be repaired', () => {
  it('is not held up by what cannot, and that is not tried all the time', async () => {
    const world = await createWorld({ providerCount: 6 });
    const contents = await fill(world, 12);
    world.setStanding('p0' as ProviderId, 'lost');
    await world.upkeep.runOnce();
    world.calls.length = 0;
    await world.upkeep.runOnce();
    assert.deepEqual(
      world.calls.filter((call) => call.includes('readShard')),
      [],
      'there is nowhere to go, and it is too early',
    );
    // Another shard of one of these stripes is gone, and can be rebuilt where it was.
    const stripe = (await listStripes(world)).find(
      (each) => each.k + each.m === 6 && countAt(each, ['p0' as ProviderId]) === 1,
    )!;
    const shard = stripe.shards.find(({ providerId }) => providerId !== 'p0')!;
    await providerOf(world, shard.providerId).deleteShard(shard.cid);
    world.upkeep.noteDamage(stripe, shard);
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, 1);
    await assertStatusIsTrue(world, 'one was repaired in place');
    world.setStanding('p0' as ProviderId, 'up');
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'it is back');
    await assertWhole(world, contents);
    await world.close();
  });

  it('that can bear no further loss does not wait for the rate, and the rest does', async () => {
    const world = await createWorld({ providerCount: 10, limits: { repairBytesPerS: 1, upkeepIntervalMs: 10 } });
    await fill(world, 40);
    const lost = ['p0', 'p1'] as ProviderId[];
    const stripes = await listStripes(world);
    const urgent = stripes.filter((stripe) => countAt(stripe, lost) === 2);
    const others = stripes.filter((stripe) => countAt(stripe, lost) === 1);
    assert.ok(urgent.length > 1 && others.length > 2);
    for (const id of lost) world.setStanding(id, 'lost');
    world.upkeep.start();
    await pollUntil('the urgent ones are whole', async () => {
      const now = await world.metadata.findStripes(urgent.map(({ id }) => id));
      return [...now.values()].every((stripe) => countAt(stripe, lost) === 0);
    });
    const now = await world.metadata.findStripes(others.map(({ id }) => id));
    const done = [...now.values()].filter((stripe) => countAt(stripe, lost) === 0).length;
    assert.ok(done <= 1, `${done} of the others, for which the rate has no room`);
    await world.close();
  });

  it('is told from what is lost, which is said once, loudly, and named', async () => {
    const lines: string[] = [];
    const log = createLog('error', { write: (line) => void lines.push(line) });
    const world = await createWorld({ providerCount: 8, log });
    const contents = await fill(world, 12);
    const gone = ['p0', 'p1', 'p2', 'p3'] as ProviderId[];
    const lostStripes = (await listStripes(world)).filter((stripe) => countAt(stripe, gone) > stripe.m);
    assert.ok(lostStripes.length > 0);
    for (const id of gone) world.setStanding(id, 'lost');
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'some are lost');
    const said = lines.filter((line) => line.includes('DATA LOST')).length;
    assert.ok(said > 0);
    world.calls.length = 0;
    await world.upkeep.runOnce();
    assert.deepEqual(
      world.calls.filter((call) => call.includes('readShard')),
      [],
    );
    assert.equal(lines.filter((line) => line.includes('DATA LOST')).length, said);
    // Nothing is given up: should they come back, all is there.
    for (const id of gone) world.setStanding(id, 'up');
    world.clock.nowMs += 3_600_000;
    await world.upkeep.runOnce();
    await assertStatusIsTrue(world, 'all are back');
    await assertWhole(world, contents);
    await world.close();
  });

  it('may have more wrong shards than it can lose, as long as no row has', async () => {
    const world = await createWorld({ providerCount: 8 });
    const bytes = patternBytes(4 * MiB);
    await put(world, 'key', bytes);
    const [stripe] = (await listStripes(world)) as [Stripe];
    for (const [row, shard] of stripe.shards.slice(0, 4).entries()) {
      await spoil(world, stripe, shard, row);
      world.upkeep.noteDamage(stripe, shard);
    }
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, 4);
    await assertWhole(world, new Map([['key', bytes]]));
    await world.close();
  });

  it('was deleted in the meantime, and leaves nothing behind', async () => {
    const world = await createWorld({ providerCount: 8 });
    await put(world, 'key', patternBytes(MiB));
    world.setStanding('p0' as ProviderId, 'lost');
    world.setStanding('p1' as ProviderId, 'lost');
    await world.engine.objects.delete({ bucket: bucketName, key: 'key', ownerId, nowMs: world.clock.now() });
    world.clock.nowMs += 1_000;
    assert.equal((await world.upkeep.runOnce()).shardsRepaired, 0);
    assert.equal((await world.metadata.countUsage()).freedStripes, 0);
    await world.close();
  });
});

/** Turns over a bit of one block. */
async function spoil(
  world: UpkeepWorld,
  stripe: Stripe,
  { index, providerId, cid }: PlacedShard,
  row: number,
): Promise<void> {
  const provider = providerOf(world, providerId);
  const bytes = await provider.readShard(cid, 0, shardBytes(stripe, index), never);
  bytes[shardBlockOffset(stripe, row) + 5]! ^= 1;
  await provider.deleteShard(cid);
  await provider.putShard(cid, [bytes]);
}
