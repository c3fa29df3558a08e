import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  CreateBucketCommand,
  DeleteObjectsCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { md5Hex } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';

const md5Base64 = (body: string): string => createHash('md5').update(body).digest('base64');
const document = (...objects: string[]): string =>
  `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${objects.map((object) => `<Object>${object}</Object>`).join('')}</Delete>`;

describe('deletes of many objects', () => {
  let gateway: TestGateway;
  let made = 0;

  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway.close());

  const makeBucket = async (...keys: string[]): Promise<string> => {
    const Bucket = `delete-${++made}`;
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
    await Promise.all(keys.map((Key) => gateway.client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))));
    return Bucket;
  };
  const keysOf = async (Bucket: string): Promise<(string | undefined)[]> =>
    (await gateway.client.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key }) => Key) ?? [];
  const send = (bucket: string, body: string, headers: Record<string, string> = { 'content-md5': md5Base64(body) }) =>
    gateway.fetchSigned('POST', `/${bucket}?delete`, { body, headers });

  it('remove what is there, and report what is not as removed too', async () => {
    const Bucket = await makeBucket('a', 'b/c', 'kept', ' odd & <key> \u{1f600}');
    const Objects = ['a', 'b/c', 'missing', ' odd & <key> \u{1f600}'].map((Key) => ({ Key }));
    const { Deleted, Errors } = await gateway.client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.deepEqual(Deleted, Objects);
    assert.equal(Errors, undefined);
    assert.deepEqual(await keysOf(Bucket), ['kept']);
  });

  it('say nothing of what went well when they are quiet', async () => {
    const Bucket = await makeBucket('a', 'b');
    const Objects = [{ Key: 'a' }, { Key: 'b', ETag: '"0123"' }, { Key: 'missing' }];
    const Delete = { Objects, Quiet: true };
    const { Deleted, Errors } = await gateway.client.send(new DeleteObjectsCommand({ Bucket, Delete }));
    assert.equal(Deleted, undefined);
    assert.deepEqual(
      Errors?.map(({ Key, Code }) => [Key, Code]),
      [['b', 'PreconditionFailed']],
    );
    assert.deepEqual(await keysOf(Bucket), ['b']);
  });

  it('take a thousand keys at once', async () => {
    const Bucket = await makeBucket('k-7', 'k-999', 'kept');
    const body = document(...Array.from({ length: 1000 }, (_, at) => `<Key>k-${at}</Key>`));
    const answer = await send(Bucket, body);
    assertOk(answer);
    assert.equal(answer.text.match(/<Deleted>/g)?.length, 1000);
    assert.deepEqual(await keysOf(Bucket), ['kept']);
    const tooMany = body.replace('</Delete>', '<Object><Key>kept</Key></Object></Delete>');
    assertS3Error(await send(Bucket, tooMany), 400, 'MalformedXML');
    assert.deepEqual(await keysOf(Bucket), ['kept']);
  });

  it('lay delete markers in a versioned bucket, and take versions and markers away by name', async () => {
    const Bucket = await makeBucket();
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await gateway.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
    const put = (Body: string) => gateway.client.send(new PutObjectCommand({ Bucket, Key: 'k', Body }));
    const [first, second] = [await put('1'), await put('2')];
    const remove = async (...Objects: { Key: string; VersionId?: string | undefined }[]) =>
      (await gateway.client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Deleted;

    const [marked] = (await remove({ Key: 'k' })) ?? [];
    assert.equal(marked?.DeleteMarker, true);
    assert.ok(marked?.DeleteMarkerVersionId);
    assert.equal(marked?.VersionId, undefined);
    const VersionId = marked?.DeleteMarkerVersionId;
    const removed = await remove({ Key: 'k', VersionId }, { Key: 'k', VersionId: first.VersionId });
    assert.deepEqual(removed, [
      { Key: 'k', VersionId, DeleteMarker: true, DeleteMarkerVersionId: VersionId },
      { Key: 'k', VersionId: first.VersionId },
    ]);
    const current = await gateway.fetchSigned('GET', `/${Bucket}/k`);
    assert.deepEqual([current.text, current.headers.get('x-amz-version-id')], ['2', second.VersionId]);
  });

  it('remove each object only when its ETag is the one that was named', async () => {
    const Bucket = await makeBucket('same', 'other');
    const etag = (text: string) => `<ETag>&quot;${text}&quot;</ETag>`;
    const body = document(
      `<Key>same</Key>${etag(md5Hex('same'))}`,
      `<Key>other</Key>${etag(md5Hex('same'))}`,
      `<Key>missing</Key>${etag(md5Hex('same'))}`,
    );
    const { text } = await send(Bucket, body);
    assert.match(text, /<Deleted><Key>same<\/Key><\/Deleted>/);
    assert.match(text, /<Error><Key>other<\/Key><Code>PreconditionFailed<\/Code><Message>[^<]+<\/Message><\/Error>/);
    assert.match(text, /<Error><Key>missing<\/Key><Code>NoSuchKey<\/Code><Message>[^<]+<\/Message><\/Error>/);
    assert.deepEqual(await keysOf(Bucket), ['other']);
  });

  it('fail for a key that is too long, and for that key only', async () => {
    const Bucket = await makeBucket('a');
    const { text } = await send(Bucket, document(`<Key>${'k'.repeat(1025)}</Key>`, '<Key>a</Key>'));
    assert.match(text, /<Code>KeyTooLongError<\/Code>/);
    assert.match(text, /<Deleted><Key>a<\/Key><\/Deleted>/);
  });

  const malformed = [
    ['no objects', '<Delete/>'],
    ['nothing but Quiet', '<Delete><Quiet>true</Quiet></Delete>'],
    ['an object without key', '<Delete><Object/></Delete>'],
    ['two keys in one object', document('<Key>k</Key><Key>j</Key>')],
    ['two versions in one object', document('<Key>k</Key><VersionId>a</VersionId><VersionId>b</VersionId>')],
    ['what only directory buckets know', document('<Key>k</Key><Size>1</Size>')],
    ['an unknown element', '<Delete><Object><Key>k</Key></Object><Nope/></Delete>'],
    ['Quiet twice', '<Delete><Object><Key>k</Key></Object><Quiet>true</Quiet><Quiet>true</Quiet></Delete>'],
    ['another document', '<Remove><Object><Key>k</Key></Object></Remove>'],
    ['no XML', 'garbage'],
    ['a document type', '<!DOCTYPE Delete><Delete><Object><Key>k</Key></Object></Delete>'],
  ] as const;
  it('are refused, and remove nothing, when the document is not what AWS takes', async () => {
    const Bucket = await makeBucket('k');
    for (const [why, body] of malformed) {
      const error = assertS3Error(await send(Bucket, body), 400, 'MalformedXML');
      assert.ok(error.Message, why);
    }
    const twoKeys = document('<Key>k</Key>', '<Key></Key>');
    assertS3Error(await send(Bucket, twoKeys), 400, 'UserKeyMustBeSpecified');
    assertS3Error(await send(Bucket, ''), 400, 'MissingRequestBodyError');
    assert.deepEqual(await keysOf(Bucket), ['k']);
  });

  it('need a digest of the document, and one that is right', async () => {
    const Bucket = await makeBucket('k');
    const body = document('<Key>k</Key>');
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(body));
    const bare = assertS3Error(await send(Bucket, body, {}), 400, 'InvalidRequest');
    assert.equal(bare.Message, 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*');
    assertS3Error(await send(Bucket, body, { 'x-amz-checksum-type': 'FULL_OBJECT' }), 400, 'InvalidRequest');
    assertS3Error(await send(Bucket, body, { 'content-md5': md5Base64('other') }), 400, 'BadDigest');
    assertS3Error(await send(Bucket, body, { 'content-md5': 'garbage' }), 400, 'InvalidDigest');
    assertS3Error(await send(Bucket, body, { 'x-amz-checksum-crc32': 'AAAAAA==' }), 400, 'BadDigest');
    assert.deepEqual(await keysOf(Bucket), ['k']);
    assertOk(await send(Bucket, body, { 'x-amz-checksum-crc32': sum.toString('base64') }));
    assert.deepEqual(await keysOf(Bucket), []);
  });

  it('are refused when the document is larger than any that AWS would take', async () => {
    const Bucket = await makeBucket('k');
    const body = document(`<Key>k</Key>${' '.repeat(5 * 1024 * 1024)}`);
    const answer = await send(Bucket, body);
    assert.equal(answer.status, 400);
    assert.deepEqual(await keysOf(Bucket), ['k']);
  });
});
