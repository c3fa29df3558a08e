import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { runAdmin } from '../../bin/run-admin.ts';
import { ConfigError } from '../../core/config.ts';
import { type AskAdmin, createAskAdmin } from '../admin/admin-harness.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import { readMetric } from '../harness/read-metric.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';

const MiB = 1024 * 1024;
const Bucket = 'opaque';
const profiles = { STANDARD: { k: 4, m: 2 }, STANDARD_IA: { k: 2, m: 2 } };
const opaque = /^"[0-9a-f]{32}-1"$/;
const contentMd5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('base64');

describe('opaque ETags', () => {
  let dataDir: string;
  let gateway: TestGateway;
  let ask: AskAdmin;
  const start = async (config: Record<string, unknown>): Promise<void> => {
    gateway = await startGateway({ dataDir, config: { profiles, ...config } });
    ask = createAskAdmin(gateway);
  };
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'holdfast-etags-'));
    await start({});
    for (const name of [Bucket, 'plain']) await gateway.client.send(new CreateBucketCommand({ Bucket: name }));
  });
  after(async () => {
    await gateway.close();
    await rm(dataDir, { recursive: true, force: true });
  });

  const pathOf = (bucket: string): string => `/admin/v1/buckets/${bucket}/etags`;
  const setETags = (etags: string | null, bucket = Bucket) => ask('PUT', pathOf(bucket), { etags });
  const put = async (
    Key: string,
    Body: Uint8Array,
    others: { ContentMD5?: string; StorageClass?: 'STANDARD_IA' } = {},
  ) => (await gateway.client.send(new PutObjectCommand({ Bucket, Key, Body, ...others }))).ETag!;
  /** One that has counted nothing yet is not shown. */
  const readCounter = async (name: string, labels: string): Promise<number> =>
    (await readMetric(gateway.adminUrl, name, labels)) || 0;
  const head = (Key: string) => gateway.client.send(new HeadObjectCommand({ Bucket, Key }));
  const get = async (Key: string): Promise<Uint8Array> =>
    (await (await gateway.client.send(new GetObjectCommand({ Bucket, Key }))).Body?.transformToByteArray())!;

  it('are none until the bucket has them', async () => {
    const bytes = patternBytes(1000);
    assert.deepEqual(await ask('GET', pathOf(Bucket)), { bucket: Bucket, etags: null });
    assert.equal(await put('before', bytes), `"${md5Hex(bytes)}"`);
    assert.deepEqual(await setETags('opaque'), { bucket: Bucket, etags: 'opaque' });
    assert.deepEqual(await ask('GET', pathOf(Bucket)), { bucket: Bucket, etags: 'opaque' });
    assert.equal((await head('before')).ETag, `"${md5Hex(bytes)}"`, 'what is stored keeps its own');
    assert.match(await put('after', bytes), opaque);
    const PutElsewhere = new PutObjectCommand({ Bucket: 'plain', Key: 'key', Body: bytes });
    assert.equal((await gateway.client.send(PutElsewhere)).ETag, `"${md5Hex(bytes)}"`);
  });

  for (const sizeBytes of [0, 1000, 3 * MiB]) {
    it(`name an object of ${sizeBytes} bytes everywhere alike, and another with the same bytes differently`, async () => {
      const Key = `object-${sizeBytes}`;
      const bytes = patternBytes(sizeBytes, 1);
      const first = await put(Key, bytes);
      const second = await put(Key, bytes);
      assert.match(second, opaque);
      assert.notEqual(second, first);
      assert.equal((await head(Key)).ETag, second);
      const listed = await gateway.client.send(new ListObjectsV2Command({ Bucket, Prefix: Key }));
      assert.equal(listed.Contents?.[0]?.ETag, second);
      const asked = { Bucket, Key, ObjectAttributes: ['ETag' as const] };
      assert.equal((await gateway.client.send(new GetObjectAttributesCommand(asked))).ETag, second.slice(1, -1));
      assert.ok(bytes.equals(await get(Key)));
    });
  }

  it('serve conditions of reads and writes', async () => {
    const bytes = patternBytes(2000);
    const IfMatch = await put('condition', bytes);
    const wrong = IfMatch.replace(/^"./, '"x');
    const ask = { Bucket, Key: 'condition' };
    await gateway.client.send(new GetObjectCommand({ ...ask, IfMatch }));
    await assert.rejects(
      gateway.client.send(new GetObjectCommand({ ...ask, IfMatch: wrong })),
      sdkError(412, 'PreconditionFailed'),
    );
    assert.equal(
      (await gateway.fetchSigned('GET', `/${Bucket}/condition`, { headers: { 'if-none-match': IfMatch } })).status,
      304,
    );
    const write = { ...ask, Body: bytes };
    await assert.rejects(
      gateway.client.send(new PutObjectCommand({ ...write, IfMatch: wrong })),
      sdkError(412, 'PreconditionFailed'),
    );
    const { ETag } = await gateway.client.send(new PutObjectCommand({ ...write, IfMatch }));
    assert.notEqual(ETag, IfMatch);
  });

  it('give way to the MD5 where the client sends Content-MD5, which is compared', async () => {
    for (const sizeBytes of [1000, 2 * MiB]) {
      const bytes = patternBytes(sizeBytes, 2);
      assert.equal(await put('declared', bytes, { ContentMD5: contentMd5(bytes) }), `"${md5Hex(bytes)}"`);
      await assert.rejects(
        put('declared', bytes, { ContentMD5: contentMd5(Buffer.from('other')) }),
        sdkError(400, 'BadDigest'),
      );
    }
  });

  it('stay with a copy, also in another storage class and into a bucket without them', async () => {
    for (const sizeBytes of [1000, 2 * MiB]) {
      const etag = await put('source', patternBytes(sizeBytes));
      for (const target of [
        { Bucket, Key: 'copy' },
        { Bucket, Key: 'moved', StorageClass: 'STANDARD_IA' as const },
        { Bucket: 'plain', Key: 'copy', ChecksumAlgorithm: 'SHA256' as const },
      ]) {
        const command = new CopyObjectCommand({ ...target, CopySource: `${Bucket}/source` });
        assert.equal((await gateway.client.send(command)).CopyObjectResult?.ETag, etag);
      }
      // A copy of what has an MD5 keeps that, too.
      const bytes = patternBytes(sizeBytes, 7);
      await put('source', bytes, { ContentMD5: contentMd5(bytes) });
      const back = new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/source` });
      assert.equal((await gateway.client.send(back)).CopyObjectResult?.ETag, `"${md5Hex(bytes)}"`);
    }
  });

  it('of parts of either kind make an upload complete, checked one by one, and the same answer again', async () => {
    const target = { Bucket, Key: 'upload' };
    const { UploadId } = await gateway.client.send(new CreateMultipartUploadCommand(target));
    const upload = { ...target, UploadId };
    const bytes = [patternBytes(5 * MiB, 1), patternBytes(5 * MiB, 2), patternBytes(100, 3)];
    const etags: string[] = [];
    for (const [index, Body] of bytes.entries()) {
      const others = index === 1 ? { ContentMD5: contentMd5(Body) } : {};
      const part = new UploadPartCommand({ ...upload, PartNumber: index + 1, Body, ...others });
      etags.push((await gateway.client.send(part)).ETag!);
    }
    assert.match(etags[0]!, opaque);
    assert.equal(etags[1], `"${md5Hex(bytes[1]!)}"`);
    // A part of other bytes in the same place has another ETag.
    const again = new UploadPartCommand({ ...upload, PartNumber: 3, Body: bytes[2]! });
    const replaced = etags[2]!;
    etags[2] = (await gateway.client.send(again)).ETag!;
    assert.notEqual(etags[2], replaced);
    const { Parts } = await gateway.client.send(new ListPartsCommand(upload));
    assert.deepEqual(
      Parts?.map(({ ETag }) => ETag),
      etags,
    );
    const complete = (of: readonly string[]) =>
      gateway.client.send(
        new CompleteMultipartUploadCommand({
          ...upload,
          MultipartUpload: { Parts: of.map((ETag, index) => ({ ETag, PartNumber: index + 1 })) },
        }),
      );
    await assert.rejects(complete([etags[0]!, etags[1]!, replaced]), sdkError(400, 'InvalidPart'));
    const { ETag } = await complete(etags);
    assert.match(ETag!, /^"[0-9a-f]{32}-3"$/);
    assert.equal((await complete(etags)).ETag, ETag);
    assert.equal((await head('upload')).ETag, ETag);
    assert.ok(Buffer.concat(bytes).equals(await get('upload')));
  });

  it('of parts with MD5s add up to the ETag that S3 gives', async () => {
    const target = { Bucket, Key: 'md5-upload' };
    const { UploadId } = await gateway.client.send(new CreateMultipartUploadCommand(target));
    const bytes = [patternBytes(5 * MiB, 1), patternBytes(100, 3)];
    const Parts: { ETag: string; PartNumber: number }[] = [];
    for (const [index, Body] of bytes.entries()) {
      const part = { ...target, UploadId, PartNumber: index + 1, Body, ContentMD5: contentMd5(Body) };
      const { ETag } = await gateway.client.send(new UploadPartCommand(part));
      Parts.push({ ETag: ETag!, PartNumber: index + 1 });
    }
    const command = new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } });
    const md5s = Buffer.concat(bytes.map((part) => createHash('md5').update(part).digest()));
    assert.equal((await gateway.client.send(command)).ETag, `"${md5Hex(md5s)}-2"`);
  });

  it('spare a copied part its reading, unless it needs a checksum or has an MD5 anyway', async () => {
    const bytes = patternBytes(6 * MiB, 4);
    await put('opaque-source', bytes);
    await put('md5-source', bytes, { ContentMD5: contentMd5(bytes) });
    const copyPart = async (
      source: string,
      range: string | undefined,
      algorithm?: 'CRC32',
    ): Promise<[string, number]> => {
      const target = { Bucket, Key: 'parts' };
      const create = new CreateMultipartUploadCommand({
        ...target,
        ...(algorithm && { ChecksumAlgorithm: algorithm }),
      });
      const { UploadId } = await gateway.client.send(create);
      const before = await readCounter('holdfast_blocks_read_total', 'outcome="verified"');
      const copy = { ...target, UploadId, PartNumber: 1, CopySource: `${Bucket}/${source}`, CopySourceRange: range };
      const { CopyPartResult } = await gateway.client.send(new UploadPartCopyCommand(copy));
      const after = await readCounter('holdfast_blocks_read_total', 'outcome="verified"');
      return [CopyPartResult!.ETag!, after - before];
    };
    const range = 'bytes=0-5242879';
    for (const [source, part] of [
      ['opaque-source', undefined],
      ['opaque-source', range],
      ['md5-source', range],
    ] as const) {
      const [etag, blocksRead] = await copyPart(source, part);
      assert.match(etag, opaque);
      assert.equal(blocksRead, 0, `${source} ${part}`);
    }
    assert.deepEqual(await copyPart('md5-source', undefined), [`"${md5Hex(bytes)}"`, 0]);
    const [etag, blocksRead] = await copyPart('opaque-source', range, 'CRC32');
    assert.match(etag, opaque);
    assert.ok(blocksRead > 0);
  });

  it('hash nothing: the metric says so', async () => {
    const read = () =>
      Promise.all(['lanes', 'alone', 'skipped'].map((way) => readCounter('holdfast_md5_bytes_total', `way="${way}"`)));
    const before = await read();
    await put('small', patternBytes(1000));
    await put('large', patternBytes(MiB));
    const after = await read();
    assert.deepEqual(
      after.map((bytes, index) => bytes - before[index]!),
      [0, 0, MiB + 1000],
    );
  });

  it('are shown and changed by holdfast admin bucket etags, and refused as anything else', async () => {
    const environment = {
      HOLDFAST_ADMIN_ENDPOINT: gateway.adminUrl,
      HOLDFAST_ROOT_USER: rootKey.accessKeyId,
      HOLDFAST_ROOT_PASSWORD: rootKey.secretAccessKey,
    };
    const admin = async (...args: string[]): Promise<string> => {
      const output: string[] = [];
      const stream = { write: (text: string) => output.push(text) };
      const status = await runAdmin(['bucket', 'etags', ...args], environment, { stdout: stream, stderr: stream });
      return `${status} ${output.join('')}`;
    };
    assert.equal(await admin(Bucket), '0 opaque: opaque\n');
    assert.equal(await admin(Bucket, '--set', 'md5'), '0 opaque: md5\n');
    assert.equal(await admin(Bucket, '--clear'), '0 opaque: as the server is configured\n');
    await assert.rejects(admin(Bucket, '--set', 'md5', '--clear'), ConfigError);
    assert.match(await admin(Bucket, '--set', 'sha1'), /^1 /);
    assert.equal((await ask('PUT', pathOf(Bucket), { etags: 'sha1' }, 400)).code, 'InvalidRequest');
    assert.equal((await ask('PUT', pathOf('nowhere'), { etags: null }, 404)).code, 'NoSuchBucket');
    assert.equal((await ask('GET', pathOf('nowhere'), undefined, 404)).code, 'NoSuchBucket');
  });

  it('are those of the whole server where it is configured so, but for buckets that want MD5s', async () => {
    const etag = await put('kept', patternBytes(10));
    await setETags('opaque');
    const kept = await put('kept', patternBytes(10));
    await gateway.close();
    await start({ etags: 'opaque' });
    assert.equal((await head('kept')).ETag, kept, 'and they outlive a restart');
    assert.notEqual(kept, etag);
    await setETags(null);
    assert.match(await put('key', patternBytes(10)), opaque);
    await setETags('md5');
    assert.equal(await put('key', patternBytes(10)), `"${md5Hex(patternBytes(10))}"`);
    await setETags(null);
    await assert.rejects(startGateway({ config: { etags: 'crc' } }), ConfigError);
    // Not by an SDK: a raw PUT of a client that computes the MD5 itself, and would compare.
    const answer = await gateway.fetchSigned('PUT', `/${Bucket}/raw`, { body: 'text' });
    assertOk(answer);
    assert.match(answer.headers.get('etag')!, opaque);
    const headers = { 'x-amz-copy-source': `/${Bucket}/raw`, 'x-amz-copy-source-if-match': md5Hex('text') };
    assertS3Error(await gateway.fetchSigned('PUT', `/${Bucket}/raw2`, { headers }), 412, 'PreconditionFailed');
  });
});
