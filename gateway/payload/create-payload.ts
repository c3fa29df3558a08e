import type { IncomingHttpHeaders } from 'node:http';
import { checksumHeader } from '../../core/checksums.ts';
import type { DeclaredDigests, Payload } from '../../core/payload.ts';
import type { Authentication } from '../auth/authenticate.ts';
import { ChunkSignatures } from '../auth/chunk-signatures.ts';
import { S3Error } from '../s3-error.ts';
import { decodeAwsChunked } from './aws-chunked.ts';
import { wrongByteCount } from './body-errors.ts';
import { BodyReader } from './body-reader.ts';
import { type DigestHeaders, parseChecksumTrailer, parseDigestHeaders } from './digest-headers.ts';
import type { PayloadMode } from './payload-mode.ts';

/** Bytes off a connection: in pieces, and where it can be all at once, of which one is used. */
export interface FramedBody extends AsyncIterable<Uint8Array> {
  /** Exactly so many bytes, in a buffer that belongs to the caller. @throws S3Error RequestTimeout, IncompleteBody */
  readAll?(sizeBytes: number, idleTimeoutMs: number): Promise<Uint8Array>;
}

export interface PayloadRequest {
  /** As framed: for node:http the request itself, or something that reads from it. */
  readonly body: FramedBody;
  readonly headers: IncomingHttpHeaders;
  readonly authentication: Authentication;
  /** How long the client may send nothing while it is waited for. */
  readonly idleTimeoutMs: number;
  /** The most that the operation takes; no limit where absent. */
  readonly maxBytes?: number;
  /** False for documents: a body without length is then read to its end, and a request without body is an empty one. */
  readonly lengthRequired?: boolean;
  /** `ignore` for CompleteMultipartUpload, whose x-amz-checksum-* headers describe the object and not the body. */
  readonly checksums?: 'verify' | 'ignore';
}

/**
 * The body of a request with its framing taken off. Nothing is read before `bytes` is, or `readAll` called.
 * @throws S3Error for everything that the headers alone give away
 */
export function createPayload(request: PayloadRequest): Payload {
  const { authentication, maxBytes } = request;
  const mode = authentication.payloadMode;
  refuseFramingWithoutMode(request.headers);
  const digests = parseDigestHeaders(selectHeaders(request), mode.kind === 'chunked' && mode.trailer);
  const sizeBytes = parseLength(request, mode);
  if (maxBytes !== undefined && sizeBytes !== undefined && sizeBytes > maxBytes) {
    throw new S3Error('EntityTooLarge', undefined, {
      ProposedSize: String(sizeBytes),
      MaxSizeAllowed: String(maxBytes),
    });
  }
  if (mode.kind === 'chunked') return new ChunkedPayload(request, mode, digests, sizeBytes ?? 0);
  const declared = declare(digests, mode.kind === 'digest' ? mode.sha256Hex : undefined, digests.checksum);
  return new PlainPayload(request, sizeBytes, digests.algorithm, declared);
}

class PlainPayload implements Payload {
  readonly sizeBytes: number | undefined;
  readonly checksumAlgorithm: Payload['checksumAlgorithm'];
  readonly readAll: Payload['readAll'];
  readonly #request: PayloadRequest;
  readonly #declared: DeclaredDigests;
  #bytes: AsyncIterable<Uint8Array> | undefined;

  constructor(
    request: PayloadRequest,
    sizeBytes: number | undefined,
    checksumAlgorithm: Payload['checksumAlgorithm'],
    declared: DeclaredDigests,
  ) {
    this.#request = request;
    this.#declared = declared;
    this.sizeBytes = sizeBytes;
    this.checksumAlgorithm = checksumAlgorithm;
    this.readAll = sizeBytes === undefined ? undefined : () => this.#readAll(sizeBytes);
  }

  get bytes(): AsyncIterable<Uint8Array> {
    this.#bytes ??= readPlain(new BodyReader(this.#request), this.sizeBytes);
    return this.#bytes;
  }

  declaredDigests(): DeclaredDigests {
    return this.#declared;
  }

  #readAll(sizeBytes: number): Promise<Uint8Array> {
    const { body, idleTimeoutMs } = this.#request;
    return body.readAll?.(sizeBytes, idleTimeoutMs) ?? collect(this.bytes, sizeBytes);
  }
}

/** The pieces in one buffer. They must be `sizeBytes` long together, which who makes them has checked. */
async function collect(pieces: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<Uint8Array> {
  let whole: Uint8Array | undefined;
  let receivedBytes = 0;
  for await (const piece of pieces) {
    // Only once there is a byte: a client that sends nothing holds nothing.
    whole ??= Buffer.allocUnsafeSlow(sizeBytes);
    whole.set(piece, receivedBytes);
    receivedBytes += piece.length;
  }
  return whole ?? new Uint8Array(0);
}

class ChunkedPayload implements Payload {
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly sizeBytes: number;
  readonly checksumAlgorithm: Payload['checksumAlgorithm'];
  readonly #digests: DigestHeaders;
  #checksum: DeclaredDigests['checksum'];

  constructor(
    request: PayloadRequest,
    mode: PayloadMode & { kind: 'chunked' },
    digests: DigestHeaders,
    sizeBytes: number,
  ) {
    const trailer = digests.inTrailer && digests.algorithm ? checksumHeader(digests.algorithm) : undefined;
    this.sizeBytes = sizeBytes;
    this.checksumAlgorithm = digests.algorithm;
    this.#digests = digests;
    this.#checksum = digests.checksum;
    this.bytes = decodeAwsChunked({
      reader: new BodyReader(request),
      decodedBytes: sizeBytes,
      signatures: mode.signed ? createSignatures(request.authentication) : undefined,
      signedTrailers: mode.signed && mode.trailer,
      announcedTrailers: trailer === undefined ? [] : [trailer],
      onTrailers: (trailers) => {
        const value = trailer === undefined ? undefined : trailers.get(trailer);
        if (value !== undefined) this.#checksum = parseChecksumTrailer(digests.algorithm!, value);
      },
    });
  }

  readAll(): Promise<Uint8Array> {
    return collect(this.bytes, this.sizeBytes);
  }

  declaredDigests(): DeclaredDigests {
    return declare(this.#digests, undefined, this.#checksum);
  }
}

function declare(
  { md5 }: DigestHeaders,
  sha256Hex: string | undefined,
  checksum: DeclaredDigests['checksum'],
): DeclaredDigests {
  return {
    ...(md5 !== undefined && { md5 }),
    ...(sha256Hex !== undefined && { sha256Hex }),
    ...(checksum && { checksum }),
  };
}

function createSignatures(authentication: Authentication): ChunkSignatures {
  // A chain of signatures has to start at one.
  if (authentication.kind === 'anonymous') throw new S3Error('AccessDenied');
  return new ChunkSignatures(authentication.seed);
}

async function* readPlain(reader: BodyReader, sizeBytes: number | undefined): AsyncGenerator<Uint8Array> {
  let receivedBytes = 0;
  try {
    for (let piece = await reader.next(); piece; piece = await reader.next()) {
      receivedBytes += piece.length;
      if (sizeBytes !== undefined && receivedBytes > sizeBytes) break;
      if (piece.length > 0) yield piece;
    }
  } finally {
    reader.close();
  }
  if (sizeBytes !== undefined && receivedBytes !== sizeBytes) throw wrongByteCount(sizeBytes, receivedBytes);
}

/** The headers that may declare digests; those that a presigned URL carries count as if they were headers. */
function selectHeaders({ headers, authentication, checksums }: PayloadRequest): IncomingHttpHeaders {
  if (checksums === 'ignore') {
    const { 'content-md5': md5, 'x-amz-trailer': trailer } = headers;
    return { ...(md5 !== undefined && { 'content-md5': md5 }), ...(trailer && { 'x-amz-trailer': trailer }) };
  }
  if (authentication.kind !== 'signed') return headers;
  // Copied only for a presigned URL that carries some.
  for (const _ in authentication.hoistedHeaders) return { ...authentication.hoistedHeaders, ...headers };
  return headers;
}

/** The number of bytes after decoding. @throws S3Error MissingContentLength */
function parseLength(request: PayloadRequest, mode: PayloadMode): number | undefined {
  const { headers, lengthRequired = true } = request;
  const chunked = mode.kind === 'chunked';
  const text = chunked ? headers['x-amz-decoded-content-length'] : headers['content-length'];
  const bytes = /^\d{1,15}$/.test(String(text)) ? Number(text) : undefined;
  if (bytes !== undefined) return bytes;
  if (chunked || lengthRequired) throw new S3Error('MissingContentLength');
  return headers['transfer-encoding'] === undefined ? 0 : undefined;
}

/** Chunks that x-amz-content-sha256 does not announce would be stored with their framing. @throws S3Error InvalidArgument */
function refuseFramingWithoutMode(headers: IncomingHttpHeaders): void {
  if (headers['x-amz-content-sha256'] !== 'UNSIGNED-PAYLOAD') return;
  const encoding = headers['content-encoding'];
  if (!encoding?.split(',').some((coding) => coding.trim().toLowerCase() === 'aws-chunked')) return;
  throw new S3Error(
    'InvalidArgument',
    'aws-chunked encoding is not supported when x-amz-content-sha256 UNSIGNED-PAYLOAD is supplied.',
    { ArgumentName: 'Content-Encoding', ArgumentValue: encoding },
  );
}
