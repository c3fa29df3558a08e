import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AnswerParser } from '../../bench/answer-parser.ts';

const lengthAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const chunkedAnswer =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n';

function parse(text: string) {
  return new AnswerParser().push(Buffer.from(text));
}

describe('answers to the load', () => {
  it('are read one after the other, however their bytes are cut', () => {
    const texts = [lengthAnswer, chunkedAnswer, 'HTTP/1.1 204 No Content\r\n\r\n', lengthAnswer];
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (lengths) => {
        const parser = new AnswerParser();
        const counts = texts.map((text) => {
          const bytes = Buffer.from(text);
          let answer: ReturnType<AnswerParser['push']>;
          for (let at = 0, turn = 0; at < bytes.length; turn++) {
            assert.equal(answer, undefined);
            const end = at + lengths[turn % lengths.length]!;
            answer = parser.push(bytes.subarray(at, end));
            at = end;
          }
          return answer?.bodyBytes;
        });
        assert.deepEqual(counts, [5, 15, 0, 5]);
      }),
    );
  });

  it('keep the text of an error', () => {
    const answer = parse('HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\ndenied');
    assert.deepEqual(answer, { status: 403, bodyBytes: 6, errorText: 'denied', isLast: false });
  });

  it('say where the connection ends', () => {
    assert.equal(parse('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n')?.isLast, true);
    assert.equal(parse('HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n')?.isLast, true);
    assert.equal(parse('HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n')?.isLast, false);
  });

  const wrong: Readonly<Record<string, string>> = {
    'more bytes than they say': `${lengthAnswer}!`,
    'no length at all': 'HTTP/1.1 200 OK\r\n\r\n',
    'a chunk whose length is none': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello\r\n',
    'a chunk that is longer than it says': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n',
    trailers: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nname: value\r\n\r\n',
    'bytes behind the last chunk': `${chunkedAnswer}!`,
    'a head without an end': `HTTP/1.1 200 OK\r\n${'x'.repeat(20_000)}`,
  };
  for (const [what, text] of Object.entries(wrong)) it(`fail with ${what}`, () => assert.throws(() => parse(text)));
});
