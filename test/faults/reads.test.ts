import assert from 'node:assert/strict';
import { get as httpGet } from 'node:http';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Fault } from '../../placement/providers/faulty-provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { presignPath } from '../harness/presigned-url.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { bucket, chooseProviders, type FaultyGateway, MiB, objectSizes, startFaultyGateway } from './faulty-gateway.ts';

describe('reads from providers that fail', () => {
  let gateway: FaultyGateway;
  const objects = Object.entries(objectSizes).map(([key, size]) => ({ key, bytes: patternBytes(size, key) }));
  const long = objects.find(({ key }) => key === 'long')?.bytes as Buffer;

  before(async () => {
    gateway = await startFaultyGateway();
    for (const { key, bytes } of objects) {
      assertOk(await gateway.put(key, bytes));
      // Of the same length, so that a provider can give a shard of it in place of the right one.
      assertOk(await gateway.put(`twin-of-${key}`, patternBytes(bytes.length, `twin of ${key}`)));
    }
    await gateway.holdStill();
  });
  afterEach(() => gateway.heal());
  after(() => gateway.close());

  it('give the right bytes whichever two of the six are dead', async () => {
    for (const pair of chooseProviders(2)) {
      for (const id of pair) gateway.faultsOf(id).always('all', 'error');
      for (const { key, bytes } of objects) await gateway.assertHolds(key, bytes, `${key} without ${pair}`);
      gateway.heal();
    }
  });

  for (const fault of ['missing', 'truncate', 'flip', 'wrong-shard', 'hang'] as const satisfies Fault[]) {
    it(`give the right bytes with any two providers of the fault '${fault}'`, async () => {
      for (const pair of chooseProviders(2)) {
        for (const id of pair) gateway.faultsOf(id).always('readShard', fault);
        for (const { key, bytes } of objects) {
          if (key !== 'long') await gateway.assertHolds(key, bytes, `${key} with ${pair}`);
        }
        gateway.heal();
      }
      for (const id of ['p2', 'p5'] as const) gateway.faultsOf(id).always('readShard', fault);
      await gateway.assertHolds('long', long);
    });
  }

  it('give the right bytes with two providers that fail in different ways', async () => {
    gateway.faultsOf('p1').always('readShard', 'flip');
    gateway.faultsOf('p4').always('all', 'hang');
    for (const { key, bytes } of objects) await gateway.assertHolds(key, bytes);
    gateway.heal();
    gateway.faultsOf('p6').always('readShard', { slowMs: 400 });
    gateway.faultsOf('p3').always('readShard', 'truncate');
    for (const { key, bytes } of objects) await gateway.assertHolds(key, bytes);
  });

  it('give the right bytes when a provider fails only now and then', async () => {
    const every = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'] as const;
    for (const [turn, id] of every.entries()) {
      gateway.faultsOf(id).next('readShard', turn % 2 === 0 ? 'error' : 'flip', 1);
      await gateway.assertHolds('long', long);
    }
  });

  it('give the right range when two are dead', async () => {
    for (const pair of [
      ['p1', 'p2'],
      ['p3', 'p6'],
      ['p4', 'p5'],
    ] as const) {
      for (const id of pair) gateway.faultsOf(id).always('all', 'error');
      for (const [first, last] of [
        [0, 0],
        [262_143, 262_144],
        [5 * MiB + 17, 7 * MiB],
        [long.length - 1, long.length - 1],
      ] as const) {
        const answer = await gateway.fetchSigned('GET', `/${bucket}/long`, {
          headers: { range: `bytes=${first}-${last}` },
        });
        assertOk(answer, 206);
        assert.ok(long.subarray(first, last + 1).equals(answer.body));
      }
      gateway.heal();
    }
  });

  it('answer a clean 503 whichever three of the six are dead, and recover with them', async () => {
    const middle = objects.find(({ key }) => key === 'middle')?.bytes as Buffer;
    let smallWasLost = 0;
    for (const three of chooseProviders(3)) {
      for (const id of three) gateway.faultsOf(id).always('all', 'error');
      await gateway.assertUnavailable('middle');
      assertOk(await gateway.fetchSigned('HEAD', `/${bucket}/middle`));
      // A small object is one block and two of parity: it is lost only with exactly these three.
      const { status } = await gateway.get('small');
      if (status === 503) smallWasLost += 1;
      else assert.equal(status, 200);
      gateway.heal();
      await gateway.assertHolds('middle', middle);
    }
    assert.equal(smallWasLost, 1);
    for (const id of ['p1', 'p3', 'p5'] as const) gateway.faultsOf(id).always('readShard', 'flip');
    await gateway.assertUnavailable('long');
  });

  it('answer a clean 503 when three providers hang, once they had the time that they may take', async () => {
    const impatient = await startFaultyGateway({ providerTimeoutMs: 1000 });
    try {
      assertOk(await impatient.put('middle', patternBytes(objectSizes.middle)));
      for (const id of ['p1', 'p2', 'p3'] as const) impatient.faultsOf(id).always('all', 'hang');
      await impatient.assertUnavailable('middle');
    } finally {
      impatient.heal();
      await impatient.close();
    }
  });

  it('that lose too many providers in their midst end in a broken connection, never in a body that seems whole', async () => {
    const { host, hostname, port } = new URL(gateway.url);
    const received = await new Promise<{ bytes: Buffer; isWhole: boolean }>((resolve, reject) => {
      const request = httpGet({ hostname, port, path: presignPath({ path: `/${bucket}/long`, host }) }, (answer) => {
        assert.equal(answer.statusCode, 200);
        assert.equal(answer.headers['content-length'], String(long.length));
        const chunks: Buffer[] = [];
        answer.once('data', () => {
          answer.pause();
          for (const id of ['p1', 'p2', 'p3'] as const) gateway.faultsOf(id).always('all', 'error');
          setTimeout(() => answer.resume(), 50);
        });
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', () => {});
        answer.on('close', () => resolve({ bytes: Buffer.concat(chunks), isWhole: answer.complete }));
      });
      request.on('error', reject);
    });
    assert.equal(received.isWhole, false);
    assert.ok(received.bytes.length < long.length);
    assert.ok(long.subarray(0, received.bytes.length).equals(received.bytes));
  });
});
