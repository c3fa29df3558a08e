import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { frameUpload, type StreamingMode, wholeBody } from '../harness/chunked-upload.ts';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { RawConnection, renderHead } from '../harness/raw-connection.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import type { SignedAnswer } from '../harness/signed-fetch.ts';

/** The check values that every catalogue of CRCs gives for these nine bytes; the digests are of RFC implementations. */
const text = '123456789';
const values = {
  CRC32: Buffer.from('cbf43926', 'hex').toString('base64'),
  CRC32C: Buffer.from('e3069283', 'hex').toString('base64'),
  CRC64NVME: Buffer.from('ae8b14860a799888', 'hex').toString('base64'),
  SHA1: createHash('sha1').update(text).digest('base64'),
  SHA256: createHash('sha256').update(text).digest('base64'),
} as const;
const algorithms = Object.keys(values) as (keyof typeof values)[];
const md5 = createHash('md5').update(text).digest('base64');
const wrongBytes = '123456780';

describe('checksums', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
    assertOk(await gateway.fetchSigned('PUT', '/checksums'));
  });
  after(() => gateway.close());

  const put = (key: string, body: string, headers: Record<string, string>): Promise<SignedAnswer> =>
    gateway.fetchSigned('PUT', `/checksums/${key}`, { body, headers });

  const putFramed = async (
    key: string,
    mode: StreamingMode,
    trailer: readonly [string, string],
    body = text,
  ): Promise<SignedAnswer> => {
    const connection = await RawConnection.open(gateway.url);
    const pathAndQuery = `/checksums/${key}`;
    const { host } = new URL(gateway.url);
    const framed = frameUpload({ mode, pathAndQuery, host, chunks: [Buffer.from(body)], trailer });
    await connection.write(renderHead('PUT', pathAndQuery, framed.headers));
    await connection.write(wholeBody(framed));
    const answer = await connection.readAnswer();
    connection.destroy();
    return answer;
  };

  const assertAbsent = async (key: string): Promise<void> => {
    assertS3Error(await gateway.fetchSigned('GET', `/checksums/${key}`), 404, 'NoSuchKey');
  };

  const assertStored = async (key: string, algorithm: keyof typeof values): Promise<void> => {
    const header = `x-amz-checksum-${algorithm.toLowerCase()}`;
    for (const method of ['GET', 'HEAD']) {
      const plain = await gateway.fetchSigned(method, `/checksums/${key}`);
      assert.equal(plain.headers.get(header), null);
      const asked = await gateway.fetchSigned(method, `/checksums/${key}`, {
        headers: { 'x-amz-checksum-mode': 'ENABLED' },
      });
      assert.equal(asked.headers.get(header), values[algorithm]);
      assert.equal(asked.headers.get('x-amz-checksum-type'), 'FULL_OBJECT');
    }
  };

  for (const algorithm of algorithms) {
    const header = `x-amz-checksum-${algorithm.toLowerCase()}`;

    it(`takes a right ${algorithm} in a header, keeps it, and gives it when asked`, async () => {
      const answer = await put(`header-${algorithm}`, text, { [header]: values[algorithm] });
      assertOk(answer);
      assert.equal(answer.headers.get(header), values[algorithm]);
      await assertStored(`header-${algorithm}`, algorithm);
    });

    it(`takes a right ${algorithm} in a trailer of a signed and of an unsigned stream`, async () => {
      for (const mode of [
        'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
        'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      ] as const) {
        const answer = await putFramed(`trailer-${algorithm}`, mode, [header, values[algorithm]]);
        assertOk(answer);
        assert.equal(answer.headers.get(header), values[algorithm]);
        await assertStored(`trailer-${algorithm}`, algorithm);
      }
    });

    it(`computes ${algorithm} where it is only named`, async () => {
      const answer = await put(`named-${algorithm}`, text, { 'x-amz-sdk-checksum-algorithm': algorithm });
      assertOk(answer);
      assert.equal(answer.headers.get(header), values[algorithm]);
      await assertStored(`named-${algorithm}`, algorithm);
    });

    it(`refuses a body that does not have the ${algorithm} of the header, and stores nothing`, async () => {
      const answer = await put(`bad-header-${algorithm}`, wrongBytes, { [header]: values[algorithm] });
      assertS3Error(answer, 400, 'BadDigest');
      await assertAbsent(`bad-header-${algorithm}`);
    });

    it(`refuses a body that does not have the ${algorithm} of the trailer, and stores nothing`, async () => {
      for (const mode of [
        'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
        'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      ] as const) {
        const answer = await putFramed(`bad-trailer-${algorithm}`, mode, [header, values[algorithm]], wrongBytes);
        assertS3Error(answer, 400, 'BadDigest');
        await assertAbsent(`bad-trailer-${algorithm}`);
      }
    });

    it(`refuses a ${algorithm} that cannot be one`, async () => {
      for (const value of ['', 'abc', values[algorithm].slice(0, -4), `${values[algorithm]}AAAA`, '!!!!!!=='])
        assertS3Error(await put(`no-${algorithm}`, text, { [header]: value }), 400, 'InvalidRequest');
      await assertAbsent(`no-${algorithm}`);
    });
  }

  it('leaves an object as it was when a replacement is refused', async () => {
    assertOk(await put('kept', 'kept', {}));
    assertS3Error(await put('kept', wrongBytes, { 'x-amz-checksum-sha256': values.SHA256 }), 400, 'BadDigest');
    assertS3Error(await put('kept', wrongBytes, { 'content-md5': md5 }), 400, 'BadDigest');
    assert.equal((await gateway.fetchSigned('GET', '/checksums/kept')).text, 'kept');
  });

  it('takes a right Content-MD5, refuses a wrong one, and one that is none', async () => {
    assertOk(await put('md5', text, { 'content-md5': md5 }));
    assertS3Error(await put('bad-md5', wrongBytes, { 'content-md5': md5 }), 400, 'BadDigest');
    for (const value of ['', 'abc', 'not base64 at all', values.SHA1])
      assertS3Error(await put('bad-md5', text, { 'content-md5': value }), 400, 'InvalidDigest');
    await assertAbsent('bad-md5');
  });

  it('refuses a body that does not have the digest that was signed, and stores nothing', async () => {
    const payloadHash = createHash('sha256').update(text).digest('hex');
    const answer = await gateway.fetchSigned('PUT', '/checksums/bad-sha', { body: wrongBytes, payloadHash });
    const body = assertS3Error(answer, 400, 'XAmzContentSHA256Mismatch');
    assert.equal(body.ClientComputedContentSHA256, payloadHash);
    assert.equal(body.S3ComputedContentSHA256, createHash('sha256').update(wrongBytes).digest('hex'));
    await assertAbsent('bad-sha');
  });

  it('refuses two checksums at once, and an algorithm that it does not know', async () => {
    const both = { 'x-amz-checksum-crc32': values.CRC32, 'x-amz-checksum-sha1': values.SHA1 };
    assertS3Error(await put('both', text, both), 400, 'InvalidRequest');
    assertS3Error(await put('both', text, { 'x-amz-sdk-checksum-algorithm': 'CRC7' }), 400, 'InvalidRequest');
    const differing = { 'x-amz-sdk-checksum-algorithm': 'SHA256', 'x-amz-checksum-crc32': values.CRC32 };
    assertS3Error(await put('both', text, differing), 400, 'InvalidRequest');
    await assertAbsent('both');
  });

  it('gives no checksum with a part of an object', async () => {
    assertOk(await put('ranged', text, { 'x-amz-checksum-crc32': values.CRC32 }));
    const headers = { range: 'bytes=0-3', 'x-amz-checksum-mode': 'ENABLED' };
    const answer = await gateway.fetchSigned('GET', '/checksums/ranged', { headers });
    assertOk(answer, 206);
    assert.equal(answer.headers.get('x-amz-checksum-crc32'), null);
  });

  it('agrees with the SDK about every algorithm over a long body, both ways', async () => {
    const Body = patternBytes(2_000_003, 'sdk');
    for (const ChecksumAlgorithm of algorithms) {
      const Key = `sdk-${ChecksumAlgorithm}`;
      await gateway.client.send(new PutObjectCommand({ Bucket: 'checksums', Key, Body, ChecksumAlgorithm }));
      const head = await gateway.client.send(
        new HeadObjectCommand({ Bucket: 'checksums', Key, ChecksumMode: 'ENABLED' }),
      );
      assert.ok(head[`Checksum${ChecksumAlgorithm}`]);
      // The SDK verifies what it reads against the header.
      const got = await gateway.client.send(
        new GetObjectCommand({ Bucket: 'checksums', Key, ChecksumMode: 'ENABLED' }),
      );
      assert.ok(Body.equals((await got.Body?.transformToByteArray()) as Uint8Array));
    }
  });
});
