import { createHash, createHmac } from 'node:crypto';
import { HmacSha256 } from '../../core/hmac-sha256.ts';
import type { Authentication } from '../../gateway/auth/authenticate.ts';
import { deriveSigningKey } from '../../gateway/auth/signing-key.ts';
import { parsePayloadMode } from '../../gateway/payload/payload-mode.ts';
import { createSmithySigner } from '../auth/smithy-signer.ts';
import { accessKeyId, account, region, secretAccessKey, signingDate, timestamp } from '../auth/test-account.ts';

const scope = `20130524/${region}/s3/aws4_request`;
/** Of AWS's examples with signed chunks: without and with a trailer. */
export const seedSignature = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9';
export const trailerSeedSignature = '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e';

/** What authenticate() gives for a request whose x-amz-content-sha256 is `payload`. */
export function signedBy(signature: string, payload: string): Authentication & { kind: 'signed' } {
  return {
    kind: 'signed',
    account,
    accessKeyId,
    payloadMode: parsePayloadMode(payload),
    hoistedHeaders: {},
    seed: {
      accessKeyId,
      signature,
      signingKey: new HmacSha256(deriveSigningKey(secretAccessKey, { date: '20130524', region })),
      timestamp,
      scope,
      canonicalRequest: 'PUT\n/bucket/key',
    },
  };
}

/** The signatures of these chunks, computed by the AWS SDK: a chunk is signed as an event without headers. */
export async function signChunks(chunks: readonly Uint8Array[], seed: string): Promise<string[]> {
  const signer = createSmithySigner();
  const signatures: string[] = [];
  for (const payload of chunks) {
    const priorSignature = signatures.at(-1) ?? seed;
    const event = { headers: new Uint8Array(), payload };
    signatures.push(
      await signer.sign(event, { signingDate, priorSignature, signingRegion: region, signingService: 's3' }),
    );
  }
  return signatures;
}

export function signTrailer(trailers: string, priorSignature: string): string {
  const digest = createHash('sha256').update(trailers).digest('hex');
  return createHmac('sha256', deriveSigningKey(secretAccessKey, { date: '20130524', region }))
    .update(`AWS4-HMAC-SHA256-TRAILER\n${timestamp}\n${scope}\n${priorSignature}\n${digest}`)
    .digest('hex');
}

/** Frames chunks; the last one, empty, without CRLF, so that trailers can follow. */
export function frameChunks(chunks: readonly Uint8Array[], signatures?: readonly string[]): Buffer {
  return Buffer.concat(
    chunks.flatMap((chunk, index) => {
      const extension = signatures ? `;chunk-signature=${signatures[index]}` : '';
      return [
        Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`),
        chunk,
        Buffer.from(chunk.length > 0 ? '\r\n' : ''),
      ];
    }),
  );
}

export async function* pieces(...parts: readonly (Uint8Array | string)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

/** One piece a byte. */
export function byteByByte(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  return pieces(...Array.from(bytes, (byte) => Uint8Array.of(byte)));
}

export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
