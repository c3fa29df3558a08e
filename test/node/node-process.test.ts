import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import { generateNodeKey, parseNodeKey } from '../../placement/providers/node/node-key.ts';
import { openNodeProvider } from '../../placement/providers/node/node-provider.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { startNodeProcess } from '../harness/node-process.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { listAll, nameOf } from '../placement/provider-conformance.ts';

const id = 'n1' as ProviderId;

describe('holdfast node', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-node-'));
  });
  after(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

  it('makes a key at its first start, keeps it with mode 0600 and shows only its id', async () => {
    const dataDir = join(folder, 'generated');
    const first = await startNodeProcess({ dataDir });
    const path = join(dataDir, 'node-key');
    const text = (await readFile(path, 'utf8')).trim();
    const key = parseNodeKey(text);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.match(first.banner, /GENERATED NOW/);
    assert.ok(first.banner.includes(key.id) && !first.banner.includes(text));
    const client = openNodeProvider({ id, endpoint: first.url, key });
    const bytes = randomBytes(100);
    await client.putShard(nameOf(bytes), [bytes]);
    await first.stop();
    assert.ok(!first.readLog().includes(text));
    const second = await startNodeProcess({ dataDir, port: first.port });
    assert.match(second.banner, new RegExp(`key ${key.id}: kept in `));
    assert.equal(/node (\S+) serves/.exec(second.banner)?.[1], /node (\S+) serves/.exec(first.banner)?.[1]);
    assert.ok(bytes.equals(await client.readShard(nameOf(bytes), 0, 100)));
    await client.close();
    await second.stop();
  });

  it('keeps every shard that it acknowledged when it is killed under load, and is found again', async () => {
    const dataDir = join(folder, 'killed');
    const { key, text } = generateNodeKey();
    let node = await startNodeProcess({ dataDir, key: text });
    const client = openNodeProvider({ id, endpoint: node.url, key });
    const acknowledged = new Map<ShardCid, Buffer>();
    let failures = 0;
    let isOver = false;
    const writers = [1, 2, 3, 4].map(async (kind) => {
      while (!isOver) {
        const bytes = randomBytes(kind === 4 ? 600_000 : 2_000);
        try {
          await (kind === 3 ? writeInPieces(client, bytes) : client.putShard(nameOf(bytes), [bytes]));
          acknowledged.set(nameOf(bytes), bytes);
        } catch (error) {
          assert.ok(isFailure(error, 'provider-error'), String(error));
          failures++;
          await new Promise(setImmediate);
        }
      }
    });
    for (let round = 0; round < 3; round++) {
      const known = acknowledged.size;
      await pollUntil('shards were acknowledged', () => acknowledged.size >= known + 20, 20_000);
      await node.kill();
      const failed = failures;
      await pollUntil('calls fail', () => failures > failed);
      node = await startNodeProcess({ dataDir, key: text, port: node.port });
    }
    const known = acknowledged.size;
    await pollUntil('calls succeed again', () => acknowledged.size > known + 4, 20_000);
    isOver = true;
    await Promise.all(writers);
    assert.ok(acknowledged.size > 60 && failures > 0);
    for (const [cid, bytes] of acknowledged) assert.ok(bytes.equals(await client.readShard(cid, 0, bytes.length)), cid);
    // What was not acknowledged is whole or not there.
    for (const { cid, bytes: length } of await listAll(client, 1000)) {
      assert.equal(nameOf(await client.readShard(cid, 0, length)), cid);
    }
    await client.close();
    await node.stop();
  });

  it('speaks TLS, with metrics on a listener of their own', async () => {
    const [certPath, keyPath] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const subject = ['-subj', '/CN=node', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyPath];
    await promisify(execFile)('openssl', ['req', '-x509', '-days', '2', ...newKey, '-out', certPath, ...subject]);
    const { key, text } = generateNodeKey();
    const options = ['--tls-cert', certPath, '--tls-key', keyPath, '--metrics-listen', '127.0.0.1:0'];
    const node = await startNodeProcess({ dataDir: join(folder, 'tls'), key: text, options });
    const ca = await readFile(certPath, 'utf8');
    const client = openNodeProvider({ id, endpoint: node.url, key, ca });
    const stranger = openNodeProvider({ id, endpoint: node.url, key });
    const bytes = randomBytes(500_000);
    await client.putShard(nameOf(bytes), [bytes.subarray(0, 1000), bytes.subarray(1000)]);
    await client.putShard(nameOf(bytes.subarray(1)), [bytes.subarray(1, 100)]);
    assert.ok(bytes.equals(await client.readShard(nameOf(bytes), 0, bytes.length)));
    await assert.rejects(stranger.capacity(), (error) => isFailure(error, 'provider-error'));
    assert.match(await (await fetch(`${node.metricsUrl}/metrics`)).text(), /holdfast_node_requests_total/);
    await client.close();
    await stranger.close();
    await node.stop();
  });
});

async function writeInPieces(provider: Provider, bytes: Uint8Array): Promise<void> {
  const writer = await provider.createShard();
  try {
    await writer.append([bytes.subarray(0, 1000)]);
    await writer.append([bytes.subarray(1000)]);
    await writer.commit(nameOf(bytes));
  } finally {
    await writer.abort();
  }
}
