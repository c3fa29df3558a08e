import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const text = 'conditional';
const etag = md5Hex(text);
const other = md5Hex('other');

describe('conditions of reads', () => {
  let gateway: TestGateway;
  let modified: string;
  let hourEarlier: string;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/conditions'));
    assertOk(await gateway.fetchSigned('PUT', '/conditions/key', { body: text }));
    modified = (await gateway.fetchSigned('HEAD', '/conditions/key')).headers.get('last-modified') ?? '';
    hourEarlier = new Date(Date.parse(modified) - 3_600_000).toUTCString();
  });
  after(() => gateway.close());

  /** What RFC 9110, section 13.2.2, and AWS's GetObject page make of a combination. */
  const expectedStatus = (headers: Record<string, string>): number => {
    const ifMatch = headers['if-match'];
    const ifNoneMatch = headers['if-none-match'];
    const matches = (value: string): boolean => value === '*' || value.includes(etag);
    if (ifMatch !== undefined && !matches(ifMatch)) return 412;
    if (ifMatch === undefined && headers['if-unmodified-since'] === hourEarlier) return 412;
    if (ifNoneMatch !== undefined) return matches(ifNoneMatch) ? 304 : 200;
    return headers['if-modified-since'] === modified ? 304 : 200;
  };

  const assertConditional = async (headers: Record<string, string>): Promise<void> => {
    const status = expectedStatus(headers);
    const got = await gateway.fetchSigned('GET', '/conditions/key', { headers });
    const head = await gateway.fetchSigned('HEAD', '/conditions/key', { headers });
    const what = JSON.stringify(headers);
    assert.equal(got.status, status, what);
    assert.equal(head.status, status, what);
    assert.equal(head.body.length, 0, what);
    if (status === 412) assertS3Error(got, 412, 'PreconditionFailed');
    else assert.equal(got.text, status === 200 ? text : '', what);
    if (status === 412) return;
    assert.equal(got.headers.get('etag'), `"${etag}"`, what);
    assert.equal(got.headers.get('last-modified'), modified, what);
  };

  it('take precedence as AWS has it, in every combination of the four headers', async () => {
    const etags = [undefined, `"${etag}"`, `"${other}"`, '*'];
    const dates = [undefined, hourEarlier, modified];
    for (const ifMatch of etags) {
      for (const ifNoneMatch of etags) {
        for (const ifModifiedSince of dates) {
          for (const ifUnmodifiedSince of dates) {
            await assertConditional({
              ...(ifMatch && { 'if-match': ifMatch }),
              ...(ifNoneMatch && { 'if-none-match': ifNoneMatch }),
              ...(ifModifiedSince && { 'if-modified-since': ifModifiedSince }),
              ...(ifUnmodifiedSince && { 'if-unmodified-since': ifUnmodifiedSince }),
            });
          }
        }
      }
    }
  });

  it('compare ETags with and without quotes, weak ones, and those in lists', async () => {
    for (const value of [etag, `W/"${etag}"`, `"${other}", "${etag}"`, `"${other}","${etag}"`])
      for (const name of ['if-match', 'if-none-match']) await assertConditional({ [name]: value });
    await assertConditional({ 'if-none-match': `"${other}", "${md5Hex('third')}"` });
  });

  it('ignore what is no date', async () => {
    for (const value of ['yesterday', '', '12345']) {
      for (const name of ['if-modified-since', 'if-unmodified-since']) {
        const answer = await gateway.fetchSigned('GET', '/conditions/key', { headers: { [name]: value } });
        assert.equal(answer.status, 200, `${name}: ${value}`);
      }
    }
  });

  it('name the header that failed', async () => {
    const byMatch = await gateway.fetchSigned('GET', '/conditions/key', { headers: { 'if-match': `"${other}"` } });
    assert.equal(assertS3Error(byMatch, 412, 'PreconditionFailed').Condition, 'If-Match');
    const byDate = await gateway.fetchSigned('GET', '/conditions/key', {
      headers: { 'if-unmodified-since': hourEarlier },
    });
    assert.equal(assertS3Error(byDate, 412, 'PreconditionFailed').Condition, 'If-Unmodified-Since');
  });

  it('never hide that an object is missing', async () => {
    for (const headers of [{ 'if-match': '*' }, { 'if-none-match': '*' }, { 'if-modified-since': modified }])
      assertS3Error(await gateway.fetchSigned('GET', '/conditions/missing', { headers }), 404, 'NoSuchKey');
  });

  it('come before the range', async () => {
    const headers = { 'if-none-match': etag, range: 'bytes=999-' };
    assert.equal((await gateway.fetchSigned('GET', '/conditions/key', { headers })).status, 304);
  });
});

describe('conditional writes', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/writes'));
  });
  after(() => gateway.close());

  const put = (key: string, body: string, headers: Record<string, string> = {}) =>
    gateway.fetchSigned('PUT', `/writes/${key}`, { body, headers });
  const read = async (key: string): Promise<string> => (await gateway.fetchSigned('GET', `/writes/${key}`)).text;

  it('with If-None-Match: * create an object and never replace one', async () => {
    assertOk(await put('created', 'first', { 'if-none-match': '*' }));
    const refused = await put('created', 'second', { 'if-none-match': '*' });
    assert.equal(assertS3Error(refused, 412, 'PreconditionFailed').Condition, 'If-None-Match');
    assert.equal(await read('created'), 'first');
    assertOk(await gateway.fetchSigned('DELETE', '/writes/created'), 204);
    assertOk(await put('created', 'third', { 'if-none-match': '*' }));
  });

  it('with If-Match replace that object and no other', async () => {
    assertOk(await put('matched', 'first'));
    assertS3Error(await put('matched', 'second', { 'if-match': `"${other}"` }), 412, 'PreconditionFailed');
    assert.equal(await read('matched'), 'first');
    assertOk(await put('matched', 'second', { 'if-match': `"${md5Hex('first')}"` }));
    assertOk(await put('matched', 'third', { 'if-match': md5Hex('second') }));
    assert.equal(await read('matched'), 'third');
  });

  it('with If-Match answer NoSuchKey where there is nothing to match', async () => {
    assertS3Error(await put('absent', 'x', { 'if-match': `"${etag}"` }), 404, 'NoSuchKey');
    assertS3Error(await gateway.fetchSigned('GET', '/writes/absent'), 404, 'NoSuchKey');
  });

  it('refuse the conditions that S3 does not have', async () => {
    assertOk(await put('refusing', 'first'));
    assertS3Error(await put('refusing', 'x', { 'if-none-match': `"${etag}"` }), 501, 'NotImplemented');
    assertS3Error(await put('refusing', 'x', { 'if-match': `"${etag}", "${other}"` }), 501, 'NotImplemented');
    assert.equal(await read('refusing'), 'first');
  });

  it('let exactly one of 16 racing creations win', async () => {
    for (const key of ['race-1', 'race-2', 'race-3']) {
      const answers = await Promise.all(
        Array.from({ length: 16 }, (_, index) => put(key, `writer ${index}`, { 'if-none-match': '*' })),
      );
      const winners = answers.flatMap(({ status }, index) => (status === 200 ? [index] : []));
      assert.equal(winners.length, 1);
      assert.equal(await read(key), `writer ${winners[0]}`);
      for (const answer of answers) {
        if (answer.status === 409) assertS3Error(answer, 409, 'ConditionalRequestConflict');
        else if (answer.status !== 200) assertS3Error(answer, 412, 'PreconditionFailed');
      }
    }
  });

  it('lose no step of a counter that 8 clients advance with If-Match', async () => {
    assertOk(await put('counter', '0'));
    let conflicts = 0;
    const advance = async (): Promise<void> => {
      for (;;) {
        const now = await gateway.fetchSigned('GET', '/writes/counter');
        const answer = await put('counter', String(Number(now.text) + 1), {
          'if-match': now.headers.get('etag') ?? '',
        });
        if (answer.status === 200) return;
        assert.ok(answer.status === 412 || answer.status === 409);
        conflicts += 1;
      }
    };
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        await advance();
        await advance();
      }),
    );
    assert.equal(await read('counter'), '16');
    assert.ok(conflicts > 0, 'the clients never met, so nothing was shown');
  });

  it('hold for a copy too', async () => {
    assertOk(await put('source', 'source'));
    assertOk(await put('target', 'target'));
    const copy = (headers: Record<string, string>) =>
      gateway.fetchSigned('PUT', '/writes/target', { headers: { 'x-amz-copy-source': '/writes/source', ...headers } });
    assertS3Error(await copy({ 'if-none-match': '*' }), 412, 'PreconditionFailed');
    assertS3Error(await copy({ 'if-match': `"${other}"` }), 412, 'PreconditionFailed');
    assert.equal(await read('target'), 'target');
    assertOk(await copy({ 'if-match': `"${md5Hex('target')}"` }));
    assert.equal(await read('target'), 'source');
  });
});

describe('conditional deletes', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/deletes'));
    assertOk(await gateway.fetchSigned('PUT', '/deletes/key', { body: text }));
  });
  after(() => gateway.close());

  const remove = (key: string, headers: Record<string, string>) =>
    gateway.fetchSigned('DELETE', `/deletes/${key}`, { headers });

  it('remove the object that matches and no other', async () => {
    assertS3Error(await remove('key', { 'if-match': `"${other}"` }), 412, 'PreconditionFailed');
    assertOk(await gateway.fetchSigned('GET', '/deletes/key'));
    assertOk(await remove('key', { 'if-match': `"${etag}"` }), 204);
    assertS3Error(await gateway.fetchSigned('GET', '/deletes/key'), 404, 'NoSuchKey');
  });

  it('with a star remove any object, and answer NoSuchKey where there is none', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/deletes/any', { body: text }));
    assertOk(await remove('any', { 'if-match': '*' }), 204);
    assertS3Error(await remove('any', { 'if-match': '*' }), 404, 'NoSuchKey');
    assertS3Error(await remove('any', { 'if-match': `"${etag}"` }), 404, 'NoSuchKey');
  });

  it('let exactly one of 16 racing deletes of one ETag win', async () => {
    assertOk(await gateway.fetchSigned('PUT', '/deletes/raced', { body: text }));
    const answers = await Promise.all(Array.from({ length: 16 }, () => remove('raced', { 'if-match': `"${etag}"` })));
    assert.equal(answers.filter(({ status }) => status === 204).length, 1);
    for (const { status } of answers) assert.ok([204, 404, 409, 412].includes(status), String(status));
  });

  it('refuse conditions that are meant for other kinds of bucket', async () => {
    for (const name of ['x-amz-if-match-size', 'x-amz-if-match-last-modified-time'])
      assertS3Error(await remove('key', { [name]: '1' }), 501, 'NotImplemented');
  });
});
