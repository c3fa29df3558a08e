import assert from 'node:assert/strict';
import type { SignedAnswer } from './signed-fetch.ts';

/** The elements of an error's XML that hold text, by name. */
export function parseErrorBody(xml: string): Record<string, string> {
  assert.match(xml, /^<\?xml version="1\.0" encoding="UTF-8"\?>\n?<Error>.*<\/Error>\s*$/s);
  const elements: Record<string, string> = {};
  for (const [, name, text] of xml.matchAll(/<(\w+)>([^<]*)<\/\1>/g))
    elements[name as string] = unescapeXml(text ?? '');
  return elements;
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(?:#x([0-9a-f]+)|(\w+));/gi, (_, hex: string | undefined, name: string) =>
    hex === undefined ? (named[name] ?? '') : String.fromCodePoint(Number.parseInt(hex, 16)),
  );
}

/** Asserts that an answer is this S3 error, with all that every error body must have, and returns its elements. */
export function assertS3Error(
  answer: Pick<SignedAnswer, 'status' | 'headers' | 'text'>,
  status: number,
  code: string,
): Record<string, string> {
  assert.equal(`${answer.status} ${/<Code>(.*?)<\/Code>/.exec(answer.text)?.[1] ?? answer.text}`, `${status} ${code}`);
  assert.equal(answer.headers.get('content-type'), 'application/xml');
  const body = parseErrorBody(answer.text);
  assert.ok(body.Message, 'a Message');
  assert.ok(body.Resource?.startsWith('/'), 'a Resource');
  assert.equal(body.RequestId, answer.headers.get('x-amz-request-id'));
  assert.equal(body.HostId, answer.headers.get('x-amz-id-2'));
  return body;
}

/** Asserts success; shows the error's XML where it is none. */
export function assertOk(answer: Pick<SignedAnswer, 'status' | 'text'>, status = 200): void {
  assert.equal(answer.status, status, answer.status >= 400 ? answer.text : '');
}

/** For `assert.rejects`: an error of the SDK with this status and code. */
export function sdkError(status: number, name: string): (error: unknown) => true {
  return (error) => {
    const { $metadata, name: actual } = error as { $metadata?: { httpStatusCode?: number }; name: string };
    assert.equal(`${$metadata?.httpStatusCode} ${actual}`, `${status} ${name}`, String(error));
    return true;
  };
}
