import type { ChunkSignatures } from '../auth/chunk-signatures.ts';
import { S3Error } from '../s3-error.ts';
import { brokenFraming, wrongByteCount } from './body-errors.ts';
import type { BodyReader } from './body-reader.ts';
import { ChunkCursor } from './chunk-cursor.ts';

export interface AwsChunkedOptions {
  /** Closed at the end. */
  readonly reader: BodyReader;
  /** x-amz-decoded-content-length: exactly this many bytes must come. */
  readonly decodedBytes: number;
  /** For bodies whose chunks are signed. */
  readonly signatures: ChunkSignatures | undefined;
  /** Whether the trailers end with a signature of their own. */
  readonly signedTrailers: boolean;
  /** Lower-case names from x-amz-trailer: each must come, and no other. */
  readonly announcedTrailers: readonly string[];
  /** Told once, after everything was verified and before the last byte's `next()` ends. Later values replace earlier ones. */
  readonly onTrailers: (trailers: ReadonlyMap<string, string>) => void;
}

interface ChunkHeader {
  readonly sizeBytes: number;
  readonly signature: string;
}

const maxLineBytes = 1024;
const maxTrailerLines = 16;
/** AWS takes whatever follows the end, so we do; but not without end. */
const maxJunkBytes = 64 * 1024;
/** Of every chunk but the last: AWS "Transferring Payload in Multiple Chunks". */
const minChunkBytes = 8192;
const trailerSignature = 'x-amz-trailer-signature';

/**
 * Takes the framing off an aws-chunked body: `size[;chunk-signature=hex] CRLF bytes CRLF`, an empty chunk, trailers and
 * an empty line. Bytes are passed on before the signature of their chunk is known: they count only once this ends.
 *
 * @throws S3Error IncompleteBody, InvalidChunkSizeError, SignatureDoesNotMatch, MalformedTrailerError, RequestTimeout
 */
export async function* decodeAwsChunked(options: AwsChunkedOptions): AsyncGenerator<Uint8Array> {
  const cursor = new ChunkCursor(options.reader);
  try {
    yield* readChunks(cursor, options);
    options.onTrailers(await readTrailers(cursor, options));
    await cursor.drain(maxJunkBytes);
  } finally {
    options.reader.close();
  }
}

async function* readChunks(cursor: ChunkCursor, options: AwsChunkedOptions): AsyncGenerator<Uint8Array> {
  const { decodedBytes, signatures } = options;
  let receivedBytes = 0;
  let previousBytes = minChunkBytes;
  for (let number = 1; ; number++) {
    const chunk = parseChunkHeader(await cursor.readLine(maxLineBytes), signatures !== undefined);
    if (chunk.sizeBytes > 0 && previousBytes < minChunkBytes) throw chunkTooSmall(number, previousBytes);
    previousBytes = chunk.sizeBytes;
    receivedBytes += chunk.sizeBytes;
    const isLast = chunk.sizeBytes === 0;
    if (isLast ? receivedBytes !== decodedBytes : receivedBytes > decodedBytes) {
      throw wrongByteCount(decodedBytes, receivedBytes);
    }
    for (let left = chunk.sizeBytes; left > 0; ) {
      const piece = await cursor.readSome(left);
      signatures?.update(piece);
      left -= piece.length;
      yield piece;
    }
    if (!isLast && (await cursor.readLine(0)) !== '') throw brokenFraming();
    signatures?.checkChunk(chunk.signature);
    if (isLast) return;
  }
}

function parseChunkHeader(line: string | undefined, signed: boolean): ChunkHeader {
  const pattern = signed
    ? /^[ \t]*([0-9a-f]{1,16})[ \t]*;[ \t]*chunk-signature[ \t]*=[ \t]*([^;\s]+)[ \t]*$/i
    : /^[ \t]*([0-9a-f]{1,16})[ \t]*(?:;.*)?$/i;
  const match = line === undefined ? null : pattern.exec(line);
  if (!match) throw brokenFraming();
  return { sizeBytes: Number.parseInt(match[1]!, 16), signature: match[2] ?? '' };
}

/** Reads to the empty line, or to the end of the body, which AWS takes as well where nothing is signed. */
async function readTrailers(cursor: ChunkCursor, options: AwsChunkedOptions): Promise<ReadonlyMap<string, string>> {
  const trailers = new Map<string, string>();
  let canonical = '';
  let verified = !options.signedTrailers;
  let line = await cursor.readLine(maxLineBytes);
  for (let count = 1; line; count++) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (count > maxTrailerLines) throw new S3Error('MalformedTrailerError');
    if (!verified && name === trailerSignature) {
      options.signatures?.checkTrailers(canonical || '\n', value);
      verified = true;
      line = await cursor.readLine(maxLineBytes);
      if (line === undefined) throw brokenFraming();
      if (line !== '') throw new S3Error('MalformedTrailerError');
      break;
    }
    if (!options.announcedTrailers.includes(name)) throw new S3Error('MalformedTrailerError');
    trailers.set(name, value);
    canonical += `${name}:${value}\n`;
    line = await cursor.readLine(maxLineBytes);
  }
  if (options.announcedTrailers.some((name) => !trailers.has(name))) throw new S3Error('MalformedTrailerError');
  if (!verified) throw brokenFraming();
  return trailers;
}

/** AWS numbers the chunk that came too early, and gives the size of the one before it. */
function chunkTooSmall(number: number, sizeBytes: number): S3Error {
  return new S3Error('InvalidChunkSizeError', undefined, {
    Chunk: String(number),
    BadChunkSize: String(sizeBytes),
  });
}
