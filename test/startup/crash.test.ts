import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk } from '../harness/s3-assertions.ts';
import { listTemporaryFiles } from '../harness/shard-files.ts';
import type { SignedFetch } from '../harness/signed-fetch.ts';
import { DataFolder, type HoldfastProcess } from './holdfast-process.ts';

const clients = 8;
const keysPerClient = 3;
const sizes = [0, 1, 5_000, 70_000, 1_500_000];

/** What a key may hold: what was acknowledged last, or what was on its way when the process died. */
interface Expectation {
  acknowledged: string | undefined;
  underway: string | undefined;
}

describe('a gateway that is killed in the midst of uploads', () => {
  let folder: DataFolder;
  const expectations = new Map<string, Expectation>();

  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  /** Uploads, new keys and old ones, until the gateway is gone. */
  async function upload(client: number, round: number, fetchSigned: SignedFetch, onAck: () => void): Promise<void> {
    for (let turn = 0; ; turn++) {
      const key = `/crash/${client}-${turn % keysPerClient}`;
      const bytes = patternBytes(sizes[(turn + client) % sizes.length] as number, `${round} ${client} ${turn}`);
      const expectation = expectations.get(key) ?? { acknowledged: undefined, underway: undefined };
      expectations.set(key, expectation);
      expectation.underway = md5Hex(bytes);
      const answer = await fetchSigned('PUT', key, { body: bytes }).catch(() => undefined);
      if (answer === undefined) return;
      assertOk(answer);
      expectation.acknowledged = expectation.underway;
      expectation.underway = undefined;
      onAck();
    }
  }

  async function killAfter(acks: number, round: number, gateway: HoldfastProcess): Promise<void> {
    const { fetchSigned } = await gateway.readBanner();
    await fetchSigned('PUT', '/crash');
    let count = 0;
    const onAck = (): void => {
      count += 1;
      if (count === acks) gateway.kill('SIGKILL');
    };
    await Promise.all(Array.from({ length: clients }, (_, client) => upload(client, round, fetchSigned, onAck)));
    await gateway.ending;
    assert.ok(count >= acks);
  }

  async function verifyObjects(fetchSigned: SignedFetch): Promise<void> {
    const listing = await fetchSigned('GET', '/crash?list-type=2');
    assertOk(listing);
    const listed = new Map(
      [...listing.text.matchAll(/<Key>(.*?)<\/Key>.*?<ETag>&quot;(.*?)&quot;/g)].map(([, key, etag]) => [
        `/crash/${key}`,
        etag,
      ]),
    );
    for (const [key, { acknowledged, underway }] of expectations) {
      const answer = await fetchSigned('GET', key);
      if (answer.status === 404) {
        assert.equal(acknowledged, undefined, `${key} was acknowledged and is gone`);
        assert.ok(!listed.has(key));
        continue;
      }
      assertOk(answer);
      const etag = md5Hex(answer.body);
      assert.ok(etag === acknowledged || etag === underway, `${key} holds neither what was acknowledged nor what came`);
      assert.equal(listed.get(key), etag, `${key} in the listing`);
      expectations.set(key, { acknowledged: etag, underway: undefined });
    }
  }

  it('keeps every object that it acknowledged, whole, and nothing by halves', async () => {
    for (const [round, acks] of [25, 60, 40].entries()) {
      await killAfter(acks, round, folder.start());
      const next = folder.start();
      const { fetchSigned } = await next.readBanner();
      await verifyObjects(fetchSigned);
      assert.deepEqual(await listTemporaryFiles(join(folder.path, 'data')), []);
      next.kill('SIGTERM');
      assert.equal((await next.ending).status, 0);
    }
    const acknowledged = [...expectations.values()].filter((expectation) => expectation.acknowledged !== undefined);
    assert.equal(acknowledged.length, clients * keysPerClient);
  });
});
