import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import type { RequestTally } from '../../core/request-tally.ts';
import { RequestBody } from '../../gateway/request-body.ts';

const idleTimeoutMs = 5_000;

/** A body that has come in these pieces by the time it is looked at; `read` gives one of them at a time, as from node 26 on. */
class ArrivedBody extends Readable {
  readonly #sizes: number[];

  constructor(pieces: readonly Buffer[]) {
    super({ read() {} });
    this.#sizes = pieces.map(({ length }) => length);
    for (const piece of pieces) this.push(piece);
  }

  override read(size?: number): Buffer | null {
    return super.read(size ?? this.#sizes.shift()) as Buffer | null;
  }
}

function bodyOf(message: Readable): { body: RequestBody; tally: RequestTally } {
  const tally = { bytesIn: 0 } as RequestTally;
  const response = {} as ServerResponse;
  const body = new RequestBody({ message: message as IncomingMessage, response, tally, awaitsContinue: false });
  return { body, tally };
}

describe('a body that is read whole', () => {
  const pieces = [Buffer.alloc(65_000, 'a'), Buffer.alloc(33_595, 'b')];
  const whole = Buffer.concat(pieces);

  it('is whole where it has come in several pieces before it is asked for', async () => {
    const { body, tally } = bodyOf(new ArrivedBody(pieces));
    assert.deepEqual(await body.readAll(whole.length, idleTimeoutMs), whole);
    assert.equal(tally.bytesIn, whole.length);
  });

  it('is whole where a part of it comes later', async () => {
    const message = new Readable({ read() {} });
    message.push(pieces[0]);
    const { body, tally } = bodyOf(message);
    const reading = body.readAll(whole.length, idleTimeoutMs);
    message.push(pieces[1]);
    message.push(null);
    assert.deepEqual(await reading, whole);
    assert.equal(tally.bytesIn, whole.length);
  });

  it('tells how much came of one that ends too early', async () => {
    const message = new Readable({ read() {} });
    message.push(pieces[0]);
    message.push(null);
    const reading = bodyOf(message).body.readAll(whole.length, idleTimeoutMs);
    await assert.rejects(reading, { code: 'IncompleteBody' });
  });
});
