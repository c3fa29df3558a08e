import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, describe, it } from 'node:test';
import { promisify } from 'node:util';

const gateway = new URL('../../bin/run-gateway.ts', import.meta.url).href;
const script = `
  const urls = [];
  const { registerHooks } = process.getBuiltinModule('node:module');
  registerHooks({ load(url, context, next) { urls.push(url); return next(url, context); } });
  await import(${JSON.stringify(gateway)});
  console.log(JSON.stringify([...urls, ...process.moduleLoadList]));
`;

describe('the code of a gateway', () => {
  let loaded: string[];
  before(async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], {
      maxBuffer: 2 ** 24,
    });
    loaded = JSON.parse(stdout) as string[];
    assert.ok(loaded.includes(gateway) && loaded.includes('NativeModule http'), 'nothing was seen');
  });

  const listLoaded = (pattern: RegExp): string[] => loaded.filter((name) => pattern.test(name));

  it('holds no HTTP client and no SDK before one is needed: each would cost a start more than the gateway itself', () => {
    const clients =
      /\/node_modules\/(undici|@aws-sdk|@smithy)\/|^NativeModule (internal\/deps\/undici\/undici|http2|https)$/;
    assert.deepEqual(listLoaded(clients), []);
  });

  it('holds those parts of prom-client that count, and not what tells of the process, or pushes', () => {
    assert.equal(listLoaded(/\/prom-client\/lib\/(counter|gauge|histogram|registry)\.js$/).length, 4);
    assert.deepEqual(
      listLoaded(/\/@opentelemetry\/|\/prom-client\/(index|lib\/(defaultMetrics|pushgateway))\.js$/),
      [],
    );
  });
});
