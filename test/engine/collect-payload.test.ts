import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Payload } from '../../core/payload.ts';
import { collectPayload } from '../../engine/collect-payload.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { failure, never, payloadOf } from './engine-harness.ts';

const bytes = patternBytes(10_000);

describe('collecting a payload', () => {
  it('gives its bytes, however they are cut, though chunks are wiped behind it', async () => {
    for (const chunkBytes of [1, 999, 10_000]) {
      const whole = await collectPayload(payloadOf(bytes, { chunkBytes }), bytes.length, never);
      assert.ok(bytes.equals(whole), `in chunks of ${chunkBytes}`);
    }
  });

  it('gives nothing of nothing', async () => {
    assert.equal((await collectPayload(payloadOf(Buffer.alloc(0)), 0, never)).length, 0);
  });

  it('refuses a body that is shorter than declared', async () => {
    const short = failure('body-incomplete', { declaredBytes: 10_001, receivedBytes: 10_000 });
    await assert.rejects(collectPayload(payloadOf(bytes), 10_001, never), short);
  });

  it('refuses a body that is longer than declared, before it is all there', async () => {
    let askedFor = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        askedFor += 1;
        yield bytes;
      }
    }
    const payload: Payload = { ...payloadOf(bytes), bytes: endless() };
    await assert.rejects(collectPayload(payload, 25_000, never), RangeError);
    assert.equal(askedFor, 3);
  });

  it('passes on what the body throws, and ends it when nobody wants it any more', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield bytes;
      throw new Error('the line was cut');
    }
    await assert.rejects(collectPayload({ ...payloadOf(bytes), bytes: broken() }, 20_000, never), /the line was cut/);
    const controller = new AbortController();
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield bytes;
      setImmediate(() => controller.abort(new Error('the client went away')));
      await new Promise(() => {});
    }
    const collecting = collectPayload({ ...payloadOf(bytes), bytes: stuck() }, 20_000, controller.signal);
    await assert.rejects(collecting, /the client went away/);
  });
});
