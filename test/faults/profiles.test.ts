import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { assertOk, assertS3Error } from '../harness/s3-assertions.ts';
import { bucket, chooseProviders, type FaultyGateway, MiB, objectSizes, startFaultyGateway } from './faulty-gateway.ts';

const profiles = { STANDARD: { k: 4, m: 2 }, STANDARD_IA: { k: 2, m: 3 } };
type ProfileName = keyof typeof profiles;
const names = Object.keys(profiles) as ProfileName[];

describe('objects of two profiles', () => {
  let gateway: FaultyGateway;
  const stored: { readonly key: string; readonly bytes: Buffer; readonly profile: ProfileName }[] = [];
  const note = (key: string, bytes: Buffer, profile: ProfileName): void => {
    stored.push({ key, bytes, profile });
  };

  before(async () => {
    gateway = await startFaultyGateway({}, { config: { profiles } });
    for (const profile of names) {
      for (const [size, sizeBytes] of Object.entries(objectSizes)) {
        const key = `put-${size}-${profile}`;
        const bytes = patternBytes(size === 'long' ? 5 * MiB : sizeBytes, key);
        assertOk(await putAs(key, bytes, profile));
        note(key, bytes, profile);
      }
      await upload(`parts-${profile}`, profile);
    }
    for (const [from, into] of [
      ['STANDARD', 'STANDARD_IA'],
      ['STANDARD_IA', 'STANDARD'],
    ] as const) {
      for (const source of [`put-small-${from}`, `put-middle-${from}`, `parts-${from}`]) {
        const key = `copy-of-${source}`;
        await copy(source, key, into);
        note(key, stored.find(({ key: name }) => name === source)!.bytes, into);
      }
      // As the AWS clients copy what is long.
      const source = `parts-${from}`;
      const { bytes } = stored.find(({ key }) => key === source)!;
      await upload(`copy-by-parts-of-${source}`, into, { source, bytes, lengths: [5 * MiB, bytes.length - 5 * MiB] });
    }
    const turned = patternBytes(MiB, 'turned');
    assertOk(await putAs('turned', turned, 'STANDARD'));
    await copy('turned', 'turned', 'STANDARD_IA');
    note('turned', turned, 'STANDARD_IA');
    await gateway.holdStill();
  });
  afterEach(() => gateway.heal());
  after(() => gateway.close());

  const putAs = (key: string, body: Buffer, profile: ProfileName) =>
    gateway.fetchSigned('PUT', `/${bucket}/${key}`, { body, headers: { 'x-amz-storage-class': profile } });

  const copy = async (source: string, key: string, profile: ProfileName): Promise<void> => {
    const headers = { 'x-amz-copy-source': `/${bucket}/${source}`, 'x-amz-storage-class': profile };
    assertOk(await gateway.fetchSigned('PUT', `/${bucket}/${key}`, { headers }));
  };

  /** An upload whose parts are put, or else copied from these ranges of an object. */
  const upload = async (
    key: string,
    profile: ProfileName,
    from?: { readonly source: string; readonly bytes: Buffer; readonly lengths: readonly number[] },
  ): Promise<void> => {
    const path = `/${bucket}/${key}`;
    const headers = { 'x-amz-storage-class': profile };
    const started = await gateway.fetchSigned('POST', `${path}?uploads`, { headers });
    const uploadId = /<UploadId>(.*?)<\/UploadId>/.exec(started.text)![1]!;
    const pieces = from
      ? from.lengths.map((length, index) => {
          const offset = from.lengths.slice(0, index).reduce((sum, each) => sum + each, 0);
          return from.bytes.subarray(offset, offset + length);
        })
      : [patternBytes(5 * MiB, `${key} 1`), patternBytes(1000, `${key} 2`)];
    let offset = 0;
    let named = '';
    for (const [index, body] of pieces.entries()) {
      const target = `${path}?partNumber=${index + 1}&uploadId=${uploadId}`;
      const range = `bytes=${offset}-${offset + body.length - 1}`;
      const answer = await (from
        ? gateway.fetchSigned('PUT', target, {
            headers: { 'x-amz-copy-source': `/${bucket}/${from.source}`, 'x-amz-copy-source-range': range },
          })
        : gateway.fetchSigned('PUT', target, { body }));
      assertOk(answer);
      offset += body.length;
      const etag = answer.headers.get('etag') ?? `"${/<ETag>&quot;(\w+)&quot;<\/ETag>/.exec(answer.text)?.[1]}"`;
      named += `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`;
    }
    const listed = await gateway.fetchSigned('GET', `${path}?uploadId=${uploadId}`);
    assert.match(listed.text, new RegExp(`<StorageClass>${profile}</StorageClass>`));
    const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
    assertOk(await gateway.fetchSigned('POST', `${path}?uploadId=${uploadId}`, { body }));
    note(key, Buffer.concat(pieces), profile);
  };

  it('say which one it is, as AWS does', async () => {
    const { Contents = [] } = await gateway.client.send(new ListObjectsV2Command({ Bucket: bucket }));
    assert.deepEqual(
      Contents.map(({ Key, StorageClass }) => [Key, StorageClass]),
      stored.map(({ key, profile }) => [key, profile]).sort(([one], [two]) => (one! < two! ? -1 : 1)),
    );
    for (const { key, profile } of stored) {
      const { headers } = await gateway.fetchSigned('HEAD', `/${bucket}/${key}`);
      assert.equal(headers.get('x-amz-storage-class'), profile === 'STANDARD' ? null : profile);
    }
  });

  it('are read whichever m providers are dead, each by the m of its own profile', async () => {
    for (const name of names) {
      const own = stored.filter(({ profile }) => profile === name);
      for (const [turn, dead] of chooseProviders(profiles[name].m).entries()) {
        for (const id of dead) gateway.faultsOf(id).always('all', 'error');
        for (const { key, bytes } of own) {
          // Long ones not each time, for they take long.
          if (bytes.length <= MiB || turn % 5 === 0) await gateway.assertHolds(key, bytes, `${key} without ${dead}`);
        }
        gateway.heal();
      }
    }
  });

  it('are not there where more than m are dead', async () => {
    for (const id of ['p1', 'p3', 'p5'] as const) gateway.faultsOf(id).always('all', 'error');
    for (const { key, bytes, profile } of stored) {
      if (profile === 'STANDARD_IA') await gateway.assertHolds(key, bytes);
      // One block of one shard is all that a small one needs.
      else if (bytes.length >= MiB) await gateway.assertUnavailable(key);
    }
  });

  it('are not copied onto themselves for nothing', async () => {
    const itself = { 'x-amz-copy-source': `/${bucket}/turned`, 'x-amz-storage-class': 'STANDARD_IA' };
    const again = await gateway.fetchSigned('PUT', `/${bucket}/turned`, { headers: itself });
    assertS3Error(again, 400, 'InvalidRequest');
  });

  it('are refused where the profile is none of the configuration', async () => {
    const headers = { 'x-amz-storage-class': 'GLACIER_IR' };
    for (const [method, path, more] of [
      ['PUT', 'new', {}],
      ['POST', 'new?uploads', {}],
      ['PUT', 'new', { 'x-amz-copy-source': `/${bucket}/put-small-STANDARD` }],
    ] as const) {
      const answer = await gateway.fetchSigned(method, `/${bucket}/${path}`, { headers: { ...headers, ...more } });
      const { StorageClassRequested } = assertS3Error(answer, 400, 'InvalidStorageClass');
      assert.equal(StorageClassRequested, 'GLACIER_IR');
    }
  });
});
