import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { processKey, processRegion } from '../harness/gateway-process.ts';
import { type ClientBench, needs, openClientBench } from '../harness/run-client.ts';
import { seededBytes } from './file-tree.ts';

/** curl signs by itself (`--aws-sigv4`); it is told not to sign the payload. */
describe('curl', needs('curl'), () => {
  let bench: ClientBench;
  let body: Buffer;
  const at = (name: string): string => join(bench.folder, name);
  const curl = async (path: string, ...args: string[]): Promise<{ status: string; printed: string }> => {
    const sign = ['--aws-sigv4', `aws:amz:${processRegion}:s3`];
    const user = ['--user', `${processKey.accessKeyId}:${processKey.secretAccessKey}`];
    const hash = ['-H', 'x-amz-content-sha256: UNSIGNED-PAYLOAD'];
    const { stdout } = await bench.run('curl', [
      ...['-sS', '-w', '\n%{http_code}', '--path-as-is', ...sign, ...user, ...hash, ...args],
      bench.gateway.url + path,
    ]);
    const end = stdout.lastIndexOf('\n');
    return { status: stdout.slice(end + 1), printed: stdout.slice(0, end) };
  };

  before(async () => {
    bench = await openClientBench();
    body = seededBytes('curl', 3_000_000);
    await writeFile(at('body'), body);
    assert.equal((await curl('/first', '-X', 'PUT')).status, '200');
  });
  after(() => bench?.close());

  it('waits for 100-continue, puts, and gets whole, in part and head only', async () => {
    const put = await curl('/first/object', '-v', '-T', at('body'), '-H', 'Expect: 100-continue');
    assert.equal(put.status, '200');
    assert.equal((await curl('/first/object', '-R', '-o', at('whole'))).status, '200');
    assert.ok(body.equals(await readFile(at('whole'))));
    assert.equal((await curl('/first/object', '-r', '1000000-1999999', '-o', at('part'))).status, '206');
    assert.ok(body.subarray(1_000_000, 2_000_000).equals(await readFile(at('part'))));
    assert.match((await curl('/first/object', '-I')).printed, /^content-length: 3000000\r$/im);
    assert.equal((await curl('/first/object', '-z', at('whole'))).status, '304');
  });

  it('is told why it is refused, with all that an error document must have', async () => {
    const refused = await curl('/first/object', '--user', 'NOSUCHKEY:secret');
    assert.equal(refused.status, '403');
    for (const element of ['Code', 'Message', 'Resource', 'RequestId'])
      assert.match(refused.printed, new RegExp(`<${element}>[^<]+</${element}>`));
    const missing = await curl('/first/nothing');
    assert.equal(missing.status, '404');
    assert.match(missing.printed, /<Code>NoSuchKey<\/Code>/);
  });

  it('reads the same bytes when two providers are gone, and a large write then gets 503', async () => {
    await Promise.all([bench.gateway.deleteProvider('p1'), bench.gateway.deleteProvider('p2')]);
    assert.equal((await curl('/first/object', '-o', at('whole-2'))).status, '200');
    assert.ok(body.equals(await readFile(at('whole-2'))));
    const refused = await curl('/first/refused', '-T', at('body'));
    assert.equal(refused.status, '503');
    assert.match(refused.printed, /<Code>ServiceUnavailable<\/Code>/);
    assert.equal((await curl('/first/refused')).status, '404');
  });

  it('gets 503 before any body once a third provider is gone', async () => {
    await bench.gateway.deleteProvider('p3');
    const refused = await curl('/first/object');
    assert.equal(refused.status, '503');
    assert.match(refused.printed, /<Code>ServiceUnavailable<\/Code>/);
  });
});
