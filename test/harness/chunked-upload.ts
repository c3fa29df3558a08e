import { createHash, createHmac } from 'node:crypto';
import { rootKey } from './gateway.ts';
import { signHeaders } from './signed-fetch.ts';

export type StreamingMode =
  | 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
  | 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
  | 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';

export interface ChunkedUpload {
  readonly mode: StreamingMode;
  readonly pathAndQuery: string;
  readonly host: string;
  readonly chunks: readonly Uint8Array[];
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent after the last chunk and announced in x-amz-trailer. */
  readonly trailer?: readonly [name: string, value: string];
  readonly secretAccessKey?: string;
}

/** A PUT in aws-chunked framing: the head's headers, and the body in pieces that a test may damage. */
export interface FramedUpload {
  readonly headers: Record<string, string>;
  /** One for each chunk, header and closing CRLF included; the last chunk has no data. */
  readonly frames: readonly Buffer[];
  /** What follows the last chunk's line. */
  readonly trailer: Buffer;
}

const emptySha256 = createHash('sha256').digest('hex');

/**
 * Signs and frames an upload by hand; shares no code with the gateway.
 * Source: AWS "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", and the
 * page of the same name "Including trailing headers".
 */
export function frameUpload(upload: ChunkedUpload): FramedUpload {
  const { mode, chunks, trailer } = upload;
  const key = { ...rootKey, ...(upload.secretAccessKey && { secretAccessKey: upload.secretAccessKey }) };
  const decodedBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const headers = signHeaders({
    method: 'PUT',
    pathAndQuery: upload.pathAndQuery,
    host: upload.host,
    region: 'us-east-1',
    key,
    options: {
      payloadHash: mode,
      headers: {
        'content-encoding': 'aws-chunked',
        'x-amz-decoded-content-length': String(decodedBytes),
        ...(trailer && { 'x-amz-trailer': trailer[0] }),
        ...upload.headers,
      },
    },
  });
  const sign = createChunkSigner(headers, key.secretAccessKey);
  const isSigned = mode !== 'STREAMING-UNSIGNED-PAYLOAD-TRAILER';
  const frames = [...chunks, Buffer.alloc(0)].map((chunk) => {
    const extension = isSigned ? `;chunk-signature=${sign('PAYLOAD', `${emptySha256}\n${sha256(chunk)}`)}` : '';
    const line = Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`);
    return chunk.length === 0 ? line : Buffer.concat([line, chunk, Buffer.from('\r\n')]);
  });
  let tail = '';
  if (trailer) {
    tail = `${trailer[0]}:${trailer[1]}\r\n`;
    if (isSigned) tail += `x-amz-trailer-signature:${sign('TRAILER', sha256(`${trailer[0]}:${trailer[1]}\n`))}\r\n`;
  }
  const framed = { frames, trailer: Buffer.from(`${tail}\r\n`) };
  headers['content-length'] = String(wholeBody(framed).length);
  return { headers, ...framed };
}

export function wholeBody(framed: Pick<FramedUpload, 'frames' | 'trailer'>): Buffer {
  return Buffer.concat([...framed.frames, framed.trailer]);
}

/** Each signature covers the one before; the first that of the head. */
function createChunkSigner(
  headers: Readonly<Record<string, string>>,
  secretAccessKey: string,
): (kind: 'PAYLOAD' | 'TRAILER', digests: string) => string {
  const timestamp = headers['x-amz-date'] as string;
  const [, scope = '', seed = ''] =
    /Credential=[^/]+\/([^,]+),.*Signature=(\w+)/.exec(headers.authorization ?? '') ?? [];
  const signingKey = scope
    .split('/')
    .reduce<Buffer>(
      (secret, text) => createHmac('sha256', secret).update(text).digest(),
      Buffer.from(`AWS4${secretAccessKey}`),
    );
  let previous = seed;
  return (kind, digests) => {
    const text = [`AWS4-HMAC-SHA256-${kind}`, timestamp, scope, previous, digests].join('\n');
    previous = createHmac('sha256', signingKey).update(text).digest('hex');
    return previous;
  };
}

function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}
