import { toS3Error } from './error-response.ts';
import type { S3Response } from './operation.ts';
import type { S3Error } from './s3-error.ts';
import { xmlDeclaration } from './xml/xml-writer.ts';

/** How long a client waits for a sign of life; well under the idle timeouts of clients and proxies. */
const intervalMs = 10_000;

/** An answer that may be long in coming, and holds XML. */
export interface SlowAnswer extends S3Response {
  readonly body: string;
}

/**
 * Answers as usual when `pending` settles in time. When it does not, a 200 begins with the XML declaration, spaces
 * follow until the document is there, and an error becomes a document in that 200, as AWS does for
 * CompleteMultipartUpload; headers that only the result could give are then lost.
 *
 * @param renderError the document of an error that came too late for a status
 */
export async function respondKeepingAlive(
  pending: Promise<SlowAnswer>,
  renderError: (error: S3Error) => string,
): Promise<S3Response> {
  const inTime = await settleWithin(pending, intervalMs);
  if (inTime) return inTime;
  const document = pending.then(
    ({ body }) => body,
    (cause: unknown) => renderError(expectedError(cause)),
  );
  // A fault reaches whoever reads the stream; when the client went away nobody does, and that must not end the process.
  document.catch(() => undefined);
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: streamDocument(document) };
}

/** What `pending` came to, or undefined when it takes longer. */
async function settleWithin<T>(pending: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const { promise: elapsed, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, timeoutMs, undefined);
  try {
    return await Promise.race([pending, elapsed]);
  } finally {
    clearTimeout(timer);
  }
}

/** A fault of ours is thrown on: the server logs it and cuts the connection, which tells the client to try again. */
function expectedError(cause: unknown): S3Error {
  const error = toS3Error(cause);
  if (error.code === 'InternalError') throw cause;
  return error;
}

async function* streamDocument(pending: Promise<string>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(xmlDeclaration);
  for (;;) {
    const document = await settleWithin(pending, intervalMs);
    if (document !== undefined) {
      yield Buffer.from(document.slice(xmlDeclaration.length));
      return;
    }
    yield Buffer.from(' ');
  }
}
