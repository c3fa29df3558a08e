import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandInput,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';

describe('versions', () => {
  let gateway: TestGateway;
  let made = 0;

  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway.close());

  const setVersioning = (Bucket: string, Status: 'Enabled' | 'Suspended') =>
    gateway.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));

  /** A new bucket in the state that is wanted. */
  const makeBucket = async (...states: ('Enabled' | 'Suspended')[]): Promise<string> => {
    const Bucket = `versions-${++made}`;
    await gateway.client.send(new CreateBucketCommand({ Bucket }));
    for (const state of states) await setVersioning(Bucket, state);
    return Bucket;
  };
  const put = async (Bucket: string, Key: string, Body: string): Promise<string | undefined> =>
    (await gateway.client.send(new PutObjectCommand({ Bucket, Key, Body }))).VersionId;
  const get = async (Bucket: string, Key: string, VersionId?: string): Promise<string | undefined> =>
    (await gateway.client.send(new GetObjectCommand({ Bucket, Key, VersionId }))).Body?.transformToString();
  const remove = (Bucket: string, Key: string, VersionId?: string) =>
    gateway.client.send(new DeleteObjectCommand({ Bucket, Key, VersionId }));

  /** `key version` of each entry of the answer in its order; a star marks the latest, a cross a delete marker. */
  const list = async (Bucket: string, query = ''): Promise<string[]> => {
    const answer = await gateway.fetchSigned('GET', `/${Bucket}?versions${query}`);
    assertOk(answer);
    const entry = /<(Version|DeleteMarker)><Key>(.*?)<\/Key><VersionId>(.*?)<\/VersionId><IsLatest>(.*?)<\/IsLatest>/g;
    return [...answer.text.matchAll(entry)].map(
      ([, kind, key, id, latest]) =>
        `${key} ${id}${latest === 'true' ? ' *' : ''}${kind === 'DeleteMarker' ? ' x' : ''}`,
    );
  };

  it('of a bucket that never had versioning are the objects themselves, called null', async () => {
    const bucket = await makeBucket();
    assert.equal(await put(bucket, 'a', '1'), undefined);
    assert.equal(await put(bucket, 'a', '2'), undefined);
    assert.deepEqual(await list(bucket), ['a null *']);
    assert.equal(await get(bucket, 'a', 'null'), '2');
    const removed = await remove(bucket, 'a');
    assert.deepEqual([removed.DeleteMarker, removed.VersionId], [undefined, undefined]);
    assert.deepEqual(await list(bucket), []);
  });

  it('pile up under a key, the newest first, and each is still there', async () => {
    const bucket = await makeBucket('Enabled');
    const ids: (string | undefined)[] = [];
    for (const body of ['1', '2', '3']) ids.push(await put(bucket, 'a', body));
    assert.equal(new Set(ids).size, 3);
    assert.deepEqual(await list(bucket), [`a ${ids[2]} *`, `a ${ids[1]}`, `a ${ids[0]}`]);
    assert.equal(await get(bucket, 'a'), '3');
    for (const [at, id] of ids.entries()) assert.equal(await get(bucket, 'a', id), String(at + 1));
    const { Contents } = await gateway.client.send(new ListObjectsV2Command({ Bucket: bucket }));
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      ['a'],
    );
  });

  it('survive a delete, which lays a marker over them', async () => {
    const bucket = await makeBucket('Enabled');
    const id = await put(bucket, 'a', '1');
    const marker = await remove(bucket, 'a');
    assert.equal(marker.DeleteMarker, true);
    assert.deepEqual(await list(bucket), [`a ${marker.VersionId} * x`, `a ${id}`]);
    const { Contents } = await gateway.client.send(new ListObjectsV2Command({ Bucket: bucket }));
    assert.equal(Contents, undefined);

    const current = await gateway.fetchSigned('GET', `/${bucket}/a`);
    assertS3Error(current, 404, 'NoSuchKey');
    assert.equal(current.headers.get('x-amz-delete-marker'), 'true');
    assert.equal(current.headers.get('x-amz-version-id'), marker.VersionId);
    const named = await gateway.fetchSigned('GET', `/${bucket}/a?versionId=${marker.VersionId}`);
    assertS3Error(named, 405, 'MethodNotAllowed');
    assert.equal(named.headers.get('allow'), 'DELETE');
    assert.equal((await gateway.fetchSigned('HEAD', `/${bucket}/a?versionId=${marker.VersionId}`)).status, 405);
    assert.equal(await get(bucket, 'a', id), '1');

    const undone = await remove(bucket, 'a', marker.VersionId);
    assert.deepEqual([undone.DeleteMarker, undone.VersionId], [true, marker.VersionId]);
    assert.equal(await get(bucket, 'a'), '1');
  });

  it('are removed for good by name, and the next older one is current again', async () => {
    const bucket = await makeBucket('Enabled');
    const [first, second] = [await put(bucket, 'a', '1'), await put(bucket, 'a', '2')];
    const removed = await remove(bucket, 'a', second);
    assert.deepEqual([removed.DeleteMarker, removed.VersionId], [undefined, second]);
    assert.deepEqual(await list(bucket), [`a ${first} *`]);
    await assert.rejects(get(bucket, 'a', second), sdkError(404, 'NoSuchVersion'));
    await remove(bucket, 'a', first);
    assert.deepEqual(await list(bucket), []);
    await assert.rejects(get(bucket, 'a'), sdkError(404, 'NoSuchKey'));
  });

  it('called null are replaced while versioning is suspended, and the others stay', async () => {
    const bucket = await makeBucket();
    await put(bucket, 'a', 'before');
    await setVersioning(bucket, 'Enabled');
    const id = await put(bucket, 'a', 'enabled');
    assert.deepEqual(await list(bucket), [`a ${id} *`, 'a null']);
    await setVersioning(bucket, 'Suspended');
    assert.equal(await put(bucket, 'a', 'suspended'), 'null');
    assert.deepEqual(await list(bucket), ['a null *', `a ${id}`]);
    assert.equal(await get(bucket, 'a', 'null'), 'suspended');
    const marker = await remove(bucket, 'a');
    assert.deepEqual([marker.DeleteMarker, marker.VersionId], [true, 'null']);
    assert.deepEqual(await list(bucket), ['a null * x', `a ${id}`]);
    assert.equal(await get(bucket, 'a', id), 'enabled');
  });

  it('can be copied by name, which brings an old one back', async () => {
    const bucket = await makeBucket('Enabled');
    const old = await put(bucket, 'a', 'old');
    await put(bucket, 'a', 'new');
    const CopySource = `${bucket}/a?versionId=${old}`;
    const copied = await gateway.client.send(new CopyObjectCommand({ Bucket: bucket, Key: 'a', CopySource }));
    assert.equal(copied.CopySourceVersionId, old);
    assert.equal(await get(bucket, 'a'), 'old');
    assert.equal((await list(bucket)).length, 3);
  });

  it('say in a listing what they are', async () => {
    const bucket = await makeBucket('Enabled');
    await put(bucket, 'a', 'four');
    await remove(bucket, 'a');
    const { Versions, DeleteMarkers } = await gateway.client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    const [version] = Versions ?? [];
    const [marker] = DeleteMarkers ?? [];
    assert.deepEqual([version?.Size, version?.StorageClass, version?.IsLatest], [4, 'STANDARD', false]);
    assert.match(version?.ETag ?? '', /^"[0-9a-f]{32}"$/);
    for (const entry of [version, marker]) {
      assert.deepEqual(entry?.Owner, { ID: 'a'.repeat(64), DisplayName: 'root' });
      assert.ok(Math.abs(Number(entry?.LastModified) - Date.now()) < 60_000);
    }
    assert.equal(marker?.IsLatest, true);
  });

  it('are listed by key in the order of bytes, by prefix, and rolled up by delimiter', async () => {
    const bucket = await makeBucket('Enabled');
    for (const key of ['b', 'a/2', 'a/1', 'a/1', 'a.txt']) await put(bucket, key, 'x');
    const keysOf = (entries: string[]) => entries.map((entry) => entry.split(' ')[0]);
    assert.deepEqual(keysOf(await list(bucket)), ['a.txt', 'a/1', 'a/1', 'a/2', 'b']);
    assert.deepEqual(keysOf(await list(bucket, '&prefix=a%2F')), ['a/1', 'a/1', 'a/2']);
    const rolled = await gateway.client.send(new ListObjectVersionsCommand({ Bucket: bucket, Delimiter: '/' }));
    assert.deepEqual(
      rolled.Versions?.map(({ Key }) => Key),
      ['a.txt', 'b'],
    );
    assert.deepEqual(rolled.CommonPrefixes, [{ Prefix: 'a/' }]);
    const encoded = await list(bucket, '&encoding-type=url&prefix=a.');
    assert.deepEqual(keysOf(encoded), ['a.txt']);
  });

  for (const Delimiter of [undefined, '/']) {
    for (const MaxKeys of [1, 2, 3]) {
      it(`come in pages of ${MaxKeys}${Delimiter ? ' with a delimiter' : ''}, none twice and none missed`, async () => {
        const bucket = await makeBucket('Enabled');
        for (const key of ['a', 'd/1', 'a', 'b', 'd/2', 'a', 'c']) await put(bucket, key, 'x');
        await remove(bucket, 'b');
        const whole = await gateway.client.send(new ListObjectVersionsCommand({ Bucket: bucket, Delimiter }));
        const seen: string[] = [];
        let next: Pick<ListObjectVersionsCommandInput, 'KeyMarker' | 'VersionIdMarker'> = {};
        for (let isTruncated = true; isTruncated; ) {
          const asked = { Bucket: bucket, Delimiter, MaxKeys, ...next };
          const page = await gateway.client.send(new ListObjectVersionsCommand(asked));
          const { Versions = [], DeleteMarkers = [], CommonPrefixes = [] } = page;
          const entries = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => `${Key} ${VersionId}`);
          entries.push(...CommonPrefixes.map(({ Prefix }) => `${Prefix}`));
          assert.ok(entries.length > 0 && entries.length <= MaxKeys);
          seen.push(...entries);
          next = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
          isTruncated = page.IsTruncated ?? false;
        }
        const { Versions = [], DeleteMarkers = [], CommonPrefixes = [] } = whole;
        const expected = [...Versions, ...DeleteMarkers].map(({ Key, VersionId }) => `${Key} ${VersionId}`);
        expected.push(...CommonPrefixes.map(({ Prefix }) => `${Prefix}`));
        assert.equal(expected.length, Delimiter ? 7 : 8);
        assert.deepEqual(seen.toSorted(), expected.toSorted());
      });
    }
  }

  it('go on behind all versions of a key when only the key is named', async () => {
    const bucket = await makeBucket('Enabled');
    for (const key of ['a', 'a', 'b']) await put(bucket, key, 'x');
    assert.match((await list(bucket, '&key-marker=a')).join(), /^b \S+ \*$/);
  });

  const refusals = [
    ['version-id-marker=x', 'version-id-marker', 'x', /^A version-id marker cannot be specified without a key marker/],
    ['key-marker=a&version-id-marker=', 'version-id-marker', '', /^A version-id marker cannot be empty/],
    ['max-keys=-1', 'max-keys', undefined, /^max-keys cannot be negative/],
    ['max-keys=few', 'max-keys', 'few', /^Provided max-keys not an integer/],
    ['encoding-type=hex', 'encoding-type', 'hex', /^Invalid Encoding Method/],
  ] as const;
  for (const [parameters, argument, value, message] of refusals) {
    it(`are not listed for ${parameters}`, async () => {
      const bucket = await makeBucket();
      const answer = await gateway.fetchSigned('GET', `/${bucket}?versions&${parameters}`);
      const error = assertS3Error(answer, 400, 'InvalidArgument');
      assert.deepEqual([error.ArgumentName, error.ArgumentValue], [argument, value]);
      assert.match(error.Message ?? '', message);
    });
  }

  it('cannot be asked for with an empty name', async () => {
    const bucket = await makeBucket();
    for (const [method, path] of [
      ['GET', 'a'],
      ['DELETE', 'a'],
      ['GET', 'a?tagging'],
      ['GET', 'a?attributes'],
    ] as const) {
      const query = path.includes('?') ? '&versionId=' : '?versionId=';
      const headers = { 'x-amz-object-attributes': 'ETag' };
      const answer = await gateway.fetchSigned(method, `/${bucket}/${path}${query}`, { headers });
      assert.equal(assertS3Error(answer, 400, 'InvalidArgument').ArgumentName, 'versionId');
    }
  });
});
