import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { generateNodeKey } from '../../placement/providers/node/node-key.ts';
import { Random } from '../crash/random.ts';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { type NodeProcess, startNodeProcess } from '../harness/node-process.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { absent, makeValue, Ticks, type Value, ValueHistory } from './value-history.ts';

const KiB = 1024;
const bucket = 'thrash';
const clientCount = 4;
const actsEach = 60;
const mendTimeoutMs = 120_000;

/** S3 clients of a gateway, who may be refused while providers are away, but never told anything wrong. */
class S3Clients {
  readonly #gateway: TestGateway;
  readonly #random: Random;
  readonly #keys = new Map<string, ValueHistory>();
  #written = 0;
  refused = 0;
  acknowledged = 0;

  constructor(gateway: TestGateway, seed: number) {
    const ticks = new Ticks();
    this.#gateway = gateway;
    this.#random = new Random(seed);
    for (let at = 0; at < 30; at++) this.#keys.set(`key-${at}`, new ValueHistory(ticks));
  }

  /** @param mayRefuse whether writes may be answered with 503 */
  async run(acts: number, mayRefuse: boolean): Promise<void> {
    const client = async (): Promise<void> => {
      for (let left = acts; left > 0; left--) {
        const [key, history] = this.#random.pick([...this.#keys]);
        if (this.#random.next() < 0.5) await this.read(key, history);
        else await this.#write(key, history, mayRefuse);
      }
    };
    await Promise.all(Array.from({ length: clientCount }, client));
  }

  async read(key: string, history: ValueHistory): Promise<Value> {
    const reading = history.beginRead();
    const answer = await this.#gateway.fetchSigned('GET', `/${bucket}/${key}`);
    if (answer.status !== 404) assertOk(answer);
    const etag = answer.status === 404 ? undefined : answer.headers.get('etag')?.slice(1, -1);
    const possible = reading.end();
    const value = possible.find((each) => each.etag === etag);
    assert.ok(value, `${key} holds ${etag}, which is none of ${possible.map((each) => each.etag)}`);
    if (etag !== undefined) assert.ok(value.bytes().equals(answer.body), `other bytes in ${key}`);
    return value;
  }

  /** While nobody writes. */
  async assertAll(): Promise<number> {
    let objects = 0;
    for (const [key, history] of this.#keys) {
      const value = await this.read(key, history);
      history.settle(value);
      if (value.etag !== undefined) objects += 1;
    }
    const listing = await this.#gateway.fetchSigned('GET', `/${bucket}?list-type=2`);
    assert.equal(listing.text.split('<Key>').length - 1, objects, 'no more is listed than there is');
    return objects;
  }

  async #write(key: string, history: ValueHistory, mayRefuse: boolean): Promise<void> {
    const isDelete = this.#random.next() < 0.2;
    const sizeBytes = this.#random.between(0, this.#random.next() < 0.8 ? 20 * KiB : 700 * KiB);
    const value = isDelete ? absent : makeValue(`${key} ${this.#written++}`, sizeBytes);
    const write = history.begin(value);
    const answer = await (isDelete
      ? this.#gateway.fetchSigned('DELETE', `/${bucket}/${key}`)
      : this.#gateway.fetchSigned('PUT', `/${bucket}/${key}`, { body: value.bytes() }));
    if (answer.status === 503 && mayRefuse) {
      history.refuse(write);
      this.refused += 1;
      return;
    }
    assertOk(answer, isDelete ? 204 : 200);
    history.end(write);
    this.acknowledged += 1;
  }
}

/** Whether every stripe has all its shards, and all providers are well. */
async function isWhole({ gateway }: TestGateway): Promise<boolean> {
  const { margins } = await gateway.upkeep.readStatus();
  return margins.every(({ margin, stripes }) => margin === 2 || stripes === 0);
}

it('three nodes and three directories lose nothing while nodes are stopped, killed and started again', async (test) => {
  const seed = Date.now() & 0x7fffffff;
  test.diagnostic(`seed ${seed}`);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-thrash-'));
  const keys = Array.from({ length: 3 }, () => generateNodeKey().text);
  const start = (at: number, port = 0): Promise<NodeProcess> =>
    startNodeProcess({ dataDir: join(folder, `node-${at}`), key: keys[at]!, port });
  const nodes = await Promise.all([0, 1, 2].map((at) => start(at)));
  let gateway: TestGateway | undefined;
  try {
    const providers = [
      ...nodes.map(({ url }, at) => ({ id: `n${at}`, kind: 'node', endpoint: url, key: keys[at] })),
      ...[0, 1, 2].map((at) => ({ id: `d${at}`, kind: 'directory', path: join(folder, `d${at}`), reserveBytes: 0 })),
    ];
    gateway = await startGateway({
      dataDir: join(folder, 'gateway'),
      config: {
        providers,
        limits: {
          providerTimeoutMs: 5_000,
          hedgeMs: 50,
          suspectMs: 300,
          upkeepIntervalMs: 50,
          providerRetryMs: 100,
          pieceCacheBytes: 0,
        },
      },
    });
    assertOk(await gateway.fetchSigned('PUT', `/${bucket}`));
    const world = gateway;
    const clients = new S3Clients(gateway, seed);
    const mend = (): Promise<void> => pollUntil('redundancy is back', () => isWhole(world), mendTimeoutMs);
    await clients.run(10, false);

    const [first, second, third] = nodes as [NodeProcess, NodeProcess, NodeProcess];
    first.signal('SIGSTOP');
    await clients.run(actsEach / 3, false);
    first.signal('SIGCONT');
    await mend();

    await second.kill();
    await clients.run(actsEach / 3, false);
    nodes[1] = await start(1, second.port);
    await mend();

    // Two at once: what is stored can be read, and what cannot be stored well enough is refused.
    third.signal('SIGSTOP');
    await first.kill();
    await clients.run(actsEach / 3, true);
    third.signal('SIGCONT');
    nodes[0] = await start(0, first.port);
    await mend();

    await world.gateway.upkeep.scrub(new AbortController().signal);
    await mend();
    const objects = await clients.assertAll();
    assert.ok(clients.acknowledged > 0 && objects > 0);
    test.diagnostic(`${clients.acknowledged} writes acknowledged, ${clients.refused} refused, ${objects} objects`);
  } finally {
    for (const node of nodes) node.signal('SIGCONT');
    await gateway?.close();
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
});
