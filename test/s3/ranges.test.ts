import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

describe('ranges', () => {
  let gateway: TestGateway;
  const small = Buffer.from('0123456789');
  const long = patternBytes(3 * 1024 * 1024 + 12_345, 'long');

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/ranges'));
    assertOk(await gateway.fetchSigned('PUT', '/ranges/small', { body: small }));
    assertOk(await gateway.fetchSigned('PUT', '/ranges/long', { body: long }));
    assertOk(await gateway.fetchSigned('PUT', '/ranges/empty', { body: '' }));
  });
  after(() => gateway.close());

  const get = (key: string, range: string, method = 'GET') =>
    gateway.fetchSigned(method, `/ranges/${key}`, { headers: { range } });

  for (const [range, first, last] of [
    ['bytes=0-0', 0, 0],
    ['bytes=2-5', 2, 5],
    ['bytes=0-9', 0, 9],
    ['bytes=9-9', 9, 9],
    ['bytes=5-', 5, 9],
    ['bytes=0-', 0, 9],
    ['bytes=5-100', 5, 9],
    ['bytes=5-99999999999999999999', 5, 9],
    ['bytes=-3', 7, 9],
    ['bytes=-10', 0, 9],
    ['bytes=-100', 0, 9],
    ['bytes=-99999999999999999999', 0, 9],
  ] as const) {
    it(`gives ${first} to ${last} of ten bytes for ${range}`, async () => {
      const answer = await get('small', range);
      assertOk(answer, 206);
      assert.equal(answer.text, small.toString().slice(first, last + 1));
      assert.equal(answer.headers.get('content-range'), `bytes ${first}-${last}/10`);
      assert.equal(answer.headers.get('content-length'), String(last - first + 1));
      const head = await get('small', range, 'HEAD');
      assertOk(head, 206);
      assert.equal(head.headers.get('content-range'), answer.headers.get('content-range'));
      assert.equal(head.headers.get('content-length'), answer.headers.get('content-length'));
      assert.equal(head.body.length, 0);
    });
  }

  for (const range of ['bytes=10-', 'bytes=10-20', 'bytes=99-', 'bytes=-0', 'bytes=9007199254740991-']) {
    it(`answers 416 with the object's length for ${range} of ten bytes`, async () => {
      const answer = await get('small', range);
      const body = assertS3Error(answer, 416, 'InvalidRange');
      assert.equal(body.ActualObjectSize, '10');
      assert.equal(body.RangeRequested, range);
      assert.equal(answer.headers.get('content-range'), 'bytes */10');
      assert.equal((await get('small', range, 'HEAD')).status, 416);
    });
  }

  for (const range of ['bytes=0-0', 'bytes=0-', 'bytes=-1']) {
    it(`answers 416 for ${range} of an empty object`, async () => {
      assertS3Error(await get('empty', range), 416, 'InvalidRange');
    });
  }

  for (const range of [
    'bytes=0-1,3-4',
    'bytes=5-2',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'items=0-1',
    '0-1',
    'bytes 0-1',
  ]) {
    it(`ignores ${range}, as AWS does`, async () => {
      const answer = await get('small', range);
      assertOk(answer);
      assert.equal(answer.text, small.toString());
      assert.equal(answer.headers.get('content-range'), null);
    });
  }

  it('gives the same bytes as the whole object, for any range', async () => {
    const edge = fc
      .tuple(fc.constantFrom(0, 4096, 256 * 1024, 1024 * 1024, long.length), fc.integer({ min: -2, max: 2 }))
      .map(([base, delta]) => Math.min(Math.max(base + delta, 0), long.length - 1));
    const offset = fc.oneof(edge, fc.integer({ min: 0, max: long.length - 1 }));
    await fc.assert(
      fc.asyncProperty(offset, offset, async (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        const answer = await get('long', `bytes=${first}-${last}`);
        assertOk(answer, 206);
        assert.ok(long.subarray(first, last + 1).equals(answer.body));
      }),
      { numRuns: 120 },
    );
  });

  it('gives the same bytes as the whole object, for any suffix', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: long.length }), async (length) => {
        const answer = await get('long', `bytes=-${length}`);
        assertOk(answer, 206);
        assert.ok(long.subarray(-length).equals(answer.body));
      }),
      { numRuns: 20 },
    );
  });

  it('takes partNumber 1 of an object without parts for the whole of it', async () => {
    for (const method of ['GET', 'HEAD']) {
      const answer = await gateway.fetchSigned(method, '/ranges/small?partNumber=1');
      assertOk(answer, 206);
      assert.equal(answer.headers.get('content-range'), 'bytes 0-9/10');
      assert.equal(answer.headers.get('content-length'), '10');
      assert.equal(answer.headers.get('x-amz-mp-parts-count'), null);
      assert.equal(answer.text, method === 'GET' ? small.toString() : '');
    }
  });

  it('refuses part numbers that are none, and those that the object does not have', async () => {
    for (const partNumber of ['0', '-1', '10001', 'x', ''])
      assertS3Error(await gateway.fetchSigned('GET', `/ranges/small?partNumber=${partNumber}`), 400, 'InvalidArgument');
    assertS3Error(await gateway.fetchSigned('GET', '/ranges/small?partNumber=2'), 416, 'InvalidPartNumber');
  });

  it('refuses a range together with a part number', async () => {
    const answer = await gateway.fetchSigned('GET', '/ranges/small?partNumber=1', { headers: { range: 'bytes=0-1' } });
    assertS3Error(answer, 400, 'InvalidRequest');
  });
});
