import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectTaggingCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';

const tagging = (...tags: string[]): string =>
  `<Tagging><TagSet>${tags.map((tag) => `<Tag>${tag}</Tag>`).join('')}</TagSet></Tagging>`;
const tag = (key: string, value = ''): string => `<Key>${key}</Key><Value>${value}</Value>`;

describe('tags of objects', () => {
  let gateway: TestGateway;
  const Bucket = 'tagging';

  before(async () => {
    gateway = await startGateway();
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
    await gateway.client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'body', Metadata: { color: 'blue' } }));
  });
  after(() => gateway.close());

  const read = async (Key = 'k'): Promise<Record<string, string>> => {
    const { TagSet } = await gateway.client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    return Object.fromEntries((TagSet ?? []).map(({ Key: key, Value }) => [key, Value]));
  };
  const write = (body: string, path = 'k?tagging') => gateway.fetchSigned('PUT', `/${Bucket}/${path}`, { body });

  it('are none until some are set, are replaced as a whole, and removed as a whole', async () => {
    assert.deepEqual(await read(), {});
    const set = (tags: Record<string, string>) =>
      gateway.client.send(
        new PutObjectTaggingCommand({
          Bucket,
          Key: 'k',
          Tagging: { TagSet: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) },
        }),
      );
    await set({ a: '1', 'b + c': 'é/@' });
    assert.deepEqual(await read(), { a: '1', 'b + c': 'é/@' });
    await set({ d: '' });
    assert.deepEqual(await read(), { d: '' });
    const head = await gateway.client.send(new HeadObjectCommand({ Bucket, Key: 'k' }));
    assert.deepEqual([head.TagCount, head.Metadata], [1, { color: 'blue' }]);
    const removed = await gateway.fetchSigned('DELETE', `/${Bucket}/k?tagging`);
    assertOk(removed, 204);
    assert.deepEqual(await read(), {});
    assert.equal((await gateway.fetchSigned('GET', `/${Bucket}/k`)).text, 'body');
  });

  it('are those that the object was put with', async () => {
    await gateway.client.send(new PutObjectCommand({ Bucket, Key: 'put', Body: 'x', Tagging: 'a=1&b%20c=d%2Be' }));
    assert.deepEqual(await read('put'), { a: '1', 'b c': 'd+e' });
  });

  it('may be ten, with keys of 128 characters and values of 256', async () => {
    assertOk(await write(tagging(...Array.from({ length: 10 }, (_, at) => tag(`${at}`.repeat(128), 'v'.repeat(256))))));
    assert.equal(Object.keys(await read()).length, 10);
    assertOk(await write(tagging()));
    assert.deepEqual(await read(), {});
  });

  const refusals = [
    ['eleven tags', tagging(...Array.from({ length: 11 }, (_, at) => tag(`${at}`))), 'InvalidTag'],
    ['a key twice', tagging(tag('a', '1'), tag('a', '2')), 'InvalidTag'],
    ['an empty key', tagging(tag('', '1')), 'InvalidTag'],
    ['a key of 129 characters', tagging(tag('k'.repeat(129))), 'InvalidTag'],
    ['a value of 257 characters', tagging(tag('k', 'v'.repeat(257))), 'InvalidTag'],
    ['a key with a character that AWS does not take', tagging(tag('a;b')), 'InvalidTag'],
    ['no value', tagging('<Key>a</Key>'), 'MalformedXML'],
    ['no key', tagging('<Value>a</Value>'), 'MalformedXML'],
    ['no set', '<Tagging/>', 'MalformedXML'],
    ['two sets', '<Tagging><TagSet/><TagSet/></Tagging>', 'MalformedXML'],
    ['an unknown element', '<Tagging><TagSet><Label/></TagSet></Tagging>', 'MalformedXML'],
    ['another document', '<Tags/>', 'MalformedXML'],
    ['no XML', 'a=b', 'MalformedXML'],
    ['nothing', '', 'MissingRequestBodyError'],
  ] as const;
  for (const [why, body, code] of refusals) {
    it(`are not set to ${why}`, async () => {
      await gateway.client.send(new PutObjectCommand({ Bucket, Key: 'kept', Body: 'x', Tagging: 'old=tag' }));
      assertS3Error(await write(body, 'kept?tagging'), 400, code);
      assert.deepEqual(await read('kept'), { old: 'tag' });
    });
  }

  it('of an object that is not there are 404', async () => {
    assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}/missing?tagging`), 404, 'NoSuchKey');
    assertS3Error(await write(tagging(tag('a')), 'missing?tagging'), 404, 'NoSuchKey');
    assertS3Error(await gateway.fetchSigned('DELETE', `/${Bucket}/missing?tagging`), 404, 'NoSuchKey');
    assertS3Error(await gateway.fetchSigned('GET', `/${Bucket}/k?tagging&versionId=none`), 404, 'NoSuchVersion');
  });

  it('belong to one version, and answers name it', async () => {
    const versioned = { Bucket: 'tagging-versioned', Key: 'k' };
    await gateway.client.send(new CreateBucketCommand(versioned));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await gateway.client.send(new PutBucketVersioningCommand({ ...versioned, VersioningConfiguration }));
    const put = (Tagging: string) => gateway.client.send(new PutObjectCommand({ ...versioned, Body: 'x', Tagging }));
    const [old, current] = [await put('of=old'), await put('of=new')];
    const get = (VersionId?: string) => gateway.client.send(new GetObjectTaggingCommand({ ...versioned, VersionId }));
    const [ofOld, ofCurrent] = [await get(old.VersionId), await get()];
    assert.deepEqual([ofOld.TagSet?.[0]?.Value, ofOld.VersionId], ['old', old.VersionId]);
    assert.deepEqual([ofCurrent.TagSet?.[0]?.Value, ofCurrent.VersionId], ['new', current.VersionId]);

    const TagSet = [{ Key: 'of', Value: 'changed' }];
    const target = { ...versioned, VersionId: old.VersionId };
    const changed = await gateway.client.send(new PutObjectTaggingCommand({ ...target, Tagging: { TagSet } }));
    assert.equal(changed.VersionId, old.VersionId);
    assert.deepEqual((await get(old.VersionId)).TagSet, TagSet);
    assert.equal((await get()).TagSet?.[0]?.Value, 'new');
    const removed = await gateway.client.send(new DeleteObjectTaggingCommand(target));
    assert.equal(removed.VersionId, old.VersionId);
    assert.deepEqual((await get(old.VersionId)).TagSet, []);

    const marker = await gateway.client.send(new DeleteObjectCommand(versioned));
    await assert.rejects(get(), sdkError(404, 'NoSuchKey'));
    await assert.rejects(get(marker.VersionId), sdkError(405, 'MethodNotAllowed'));
  });
});
