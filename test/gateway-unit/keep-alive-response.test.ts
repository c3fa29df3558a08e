import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Failure } from '../../core/failure.ts';
import { respondKeepingAlive, type SlowAnswer } from '../../gateway/keep-alive-response.ts';
import type { S3Error } from '../../gateway/s3-error.ts';

const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';
const answer: SlowAnswer = { status: 200, headers: { 'x-amz-version-id': 'v1' }, body: `${declaration}<R/>` };
const renderError = (error: S3Error): string => `${declaration}<Error><Code>${error.code}</Code></Error>`;

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }));
afterEach(() => mock.timers.reset());

/** Starts an answer that is still not there after ten seconds, and reads the beginning of its stream. */
async function startLate(): Promise<{
  resolve: (answer: SlowAnswer) => void;
  reject: (cause: unknown) => void;
  next: () => Promise<string | undefined>;
}> {
  const { promise, resolve, reject } = Promise.withResolvers<SlowAnswer>();
  const response = respondKeepingAlive(promise, renderError);
  mock.timers.tick(10_000);
  const { status, headers, body } = await response;
  assert.equal(status, 200);
  assert.deepEqual(headers, { 'content-type': 'application/xml' });
  const chunks = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  const next = async (): Promise<string | undefined> => {
    const { value, done } = await chunks.next();
    return done ? undefined : Buffer.from(value).toString();
  };
  assert.equal(await next(), declaration);
  return { resolve, reject, next };
}

test('an answer that comes in time is given as it is, with its headers', async () => {
  assert.equal(await respondKeepingAlive(Promise.resolve(answer), renderError), answer);
});

test('an error that comes in time is thrown, so that it has its status', async () => {
  const failure = new Failure('upload-missing', { uploadId: 'u' });
  await assert.rejects(respondKeepingAlive(Promise.reject(failure), renderError), failure);
});

test('a late answer begins with the declaration, and a space comes every ten seconds until it is there', async () => {
  const { resolve, next } = await startLate();
  for (let i = 0; i < 3; i++) {
    const space = next();
    await turn();
    mock.timers.tick(10_000);
    assert.equal(await space, ' ');
  }
  const rest = next();
  await turn();
  mock.timers.tick(9_999);
  resolve(answer);
  assert.equal(await rest, '<R/>');
  assert.equal(await next(), undefined);
});

test('a late refusal becomes an error document in the 200', async () => {
  const { reject, next } = await startLate();
  reject(new Failure('precondition-failed', { condition: 'If-None-Match' }));
  assert.equal(await next(), '<Error><Code>PreconditionFailed</Code></Error>');
  assert.equal(await next(), undefined);
});

test('a late fault of ours is thrown on to the server', async () => {
  const { reject, next } = await startLate();
  const fault = new TypeError('a bug');
  reject(fault);
  await assert.rejects(next(), fault);
});

test('a late fault of ours does no harm when the client went away', async () => {
  const { reject } = await startLate();
  reject(new TypeError('a bug'));
  // An unhandled rejection would fail this test.
  await turn();
});
