import { pipeline, type Readable, Transform } from 'node:stream';
import type { S3Client } from '@aws-sdk/client-s3';
import { BucketError } from './bucket-error.ts';

/** Answers that are not an object's bytes are XML: a page of 1,000 keys takes some hundred KB. */
const maxXmlBytes = 4 * 2 ** 20;

/** What the SDK hands to its handler, and gets back, as far as it is used here. */
interface Exchange {
  readonly request: { readonly query?: Readonly<Record<string, unknown>> };
}
interface Answer {
  statusCode: number;
  headers: Readonly<Record<string, string>>;
  body: Readable;
}

/**
 * Puts itself between the SDK and the network. It bounds what is read of an answer, which the SDK would gather whole
 * however long it is; and it sends a request once more where the connection was found closed, which is no fault of the
 * endpoint: each of our requests may be repeated, and has its body in memory.
 */
export function guardTransport(client: S3Client, state: TransportState): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      if (state.isClosed) throw closedError();
      const { promise, reject } = Promise.withResolvers<never>();
      state.underWay.add(reject);
      try {
        const sent = next(args).catch((error: unknown) => {
          if (state.isClosed || !isClosedConnection(error)) throw error;
          return next(args);
        });
        const result = await Promise.race([sent, promise]);
        const answer = result.response as Answer;
        const isObject = (args as unknown as Exchange).request.query?.['x-id'] === 'GetObject';
        if (!isObject || answer.statusCode >= 300) boundBody(answer);
        return result;
      } finally {
        state.underWay.delete(reject);
      }
    },
    { step: 'deserialize', priority: 'low', name: 'holdfastTransportGuard' },
  );
}

/** What a client knows of its requests, so that none of them outlives it. */
export interface TransportState {
  isClosed: boolean;
  /** Ends the wait for an answer, of each request that has none yet. */
  readonly underWay: Set<(reason: Error) => void>;
}

export function closedError(): BucketError {
  return new BucketError('unreachable', 'the client was closed');
}

function isClosedConnection(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function boundBody(answer: Answer): void {
  const declaredBytes = Number(answer.headers['content-length'] ?? Number.NaN);
  // Node itself sees to it that no more comes than was declared.
  if (declaredBytes <= maxXmlBytes) return;
  let bytes = 0;
  const bounded = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      if (bytes > maxXmlBytes) done(new BucketError('bad-answer', `an answer of more than ${maxXmlBytes} bytes`));
      else done(null, chunk);
    },
  });
  // What went wrong is told by the stream that is read.
  pipeline(answer.body, bounded, () => {});
  answer.body = bounded;
}
