import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { findTraces } from '../harness/find-traces.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { assertOk } from '../harness/s3-assertions.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** In everything that is planted, so that one search finds whichever of it leaked. Long enough never to come by chance. */
const mark = randomBytes(9).toString('hex');
const bucket = `bucket-${mark}`;
const planted = {
  bucket,
  key: `key-${mark}`,
  folder: `folder-${mark}`,
  metadataName: `name-${mark}`,
  metadataValue: `value-${mark}`,
  tagName: `tag-${mark}`,
  tagValue: `tagged-${mark}`,
  contentType: `text/x-${mark}`,
  plaintext: `PLAINTEXT-${mark}`,
  accessKeyId: rootKey.accessKeyId,
  secretAccessKey: rootKey.secretAccessKey,
} as const;
const needles = [mark, ...Object.values(planted)];

/** Bytes that cannot be compressed, with what is planted in them over and over, at every alignment. */
function plant(lengthBytes: number, seed: string): Buffer {
  const bytes = patternBytes(lengthBytes, seed);
  for (let at = 0; at + planted.plaintext.length <= lengthBytes; at += 4 * KiB + 1)
    bytes.write(planted.plaintext, at, 'latin1');
  return bytes;
}

describe('what lies at the providers', () => {
  let place: TestGateway;
  before(async () => {
    place = await startGateway({
      config: {
        limits: {
          ...{ freedGraceMs: 0, upkeepIntervalMs: 20, compactAgeMs: 0 },
          ...{ journalIntervalMs: 20, snapshotBatches: 3 },
        },
      },
    });
  });
  after(() => place.close());

  async function send(method: string, path: string, body?: Uint8Array | string, headers: Record<string, string> = {}) {
    const answer = await place.fetchSigned(method, `/${bucket}${path}`, {
      headers,
      ...(body !== undefined && { body }),
    });
    assert.ok(answer.status === 200 || answer.status === 204, answer.text);
    return answer;
  }

  const described = {
    [`x-amz-meta-${planted.metadataName}`]: planted.metadataValue,
    'x-amz-tagging': `${planted.tagName}=${planted.tagValue}`,
    'content-type': planted.contentType,
  };

  async function putMany(): Promise<void> {
    const puts = Array.from({ length: 40 }, (_, index) => {
      return send(
        'PUT',
        `/${planted.folder}/${planted.key}-${index}`,
        plant(100 + 1500 * index, `small ${index}`),
        described,
      );
    });
    await Promise.all(puts);
    await send('PUT', `/${planted.key}-large`, plant(3 * MiB + 77, 'large'), described);
    await send('PUT', `/${planted.key}-shouted`, mark.toUpperCase(), described);
  }

  async function uploadParts(): Promise<void> {
    const path = `/${planted.key}-parts`;
    const { text } = await send('POST', `${path}?uploads`, undefined, described);
    const uploadId = /<UploadId>(.*?)<\/UploadId>/.exec(text)?.[1];
    const etags: string[] = [];
    for (const [index, bytes] of [plant(5 * MiB, 'part 1'), plant(300 * KiB, 'part 2')].entries()) {
      const answer = await send('PUT', `${path}?partNumber=${index + 1}&uploadId=${uploadId}`, bytes);
      etags.push(answer.headers.get('etag') ?? '');
    }
    const parts = etags.map((etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`);
    const body = `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`;
    await send('POST', `${path}?uploadId=${uploadId}`, body);
    // One that stays open, with a part.
    const open = await send('POST', `/${planted.key}-open?uploads`, undefined, described);
    const openId = /<UploadId>(.*?)<\/UploadId>/.exec(open.text)?.[1];
    await send('PUT', `/${planted.key}-open?partNumber=1&uploadId=${openId}`, plant(20 * KiB, 'open part'));
  }

  async function copyTagAndDelete(): Promise<void> {
    const source = { 'x-amz-copy-source': `/${bucket}/${planted.key}-large` };
    await send('PUT', `/${planted.folder}/${planted.key}-copy`, undefined, source);
    const tagging = `<Tagging><TagSet><Tag><Key>${planted.tagName}</Key><Value>${planted.tagValue}</Value></Tag></TagSet></Tagging>`;
    await send('PUT', `/${planted.key}-large?tagging`, tagging);
    for (let index = 0; index < 40; index++) {
      if (index % 4 !== 0) await send('DELETE', `/${planted.folder}/${planted.key}-${index}`);
    }
  }

  async function waitForUpkeep(): Promise<void> {
    const { metrics } = place.gateway;
    const sum = async (counter: { get(): Promise<{ values: { value: number }[] }> }): Promise<number> =>
      (await counter.get()).values.reduce((total, { value }) => total + value, 0);
    await pollUntil('a pack was compacted', async () => (await sum(metrics.stripesCompacted)) > 0, 20_000);
    await pollUntil('there is a snapshot', async () => (await sum(metrics.snapshots)) > 0, 20_000);
  }

  async function readProviderFiles(): Promise<Map<string, Buffer>> {
    const folder = join(place.dataDir, 'providers');
    const files = new Map<string, Buffer>();
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile()) files.set(path.slice(folder.length + 1), await readFile(path).catch(() => Buffer.alloc(0)));
    }
    return files;
  }

  async function searchAll(expected: readonly RegExp[]): Promise<void> {
    const files = await readProviderFiles();
    const paths = [...files.keys()];
    for (const kind of expected)
      assert.ok(
        paths.some((path) => kind.test(path)),
        `no file like ${kind}`,
      );
    const leaks = [...files].flatMap(([path, bytes]) => findTraces(bytes, needles).map((trace) => `${path}: ${trace}`));
    assert.deepEqual(leaks, []);
    assert.deepEqual(findTraces(Buffer.from(paths.join('\n')), needles), [], 'the names of files');
  }

  it('can be searched: the search finds what is hidden in each encoding', () => {
    const noise = patternBytes(1000, 'noise');
    assert.deepEqual(findTraces(noise, needles), []);
    for (let shift = 0; shift < 3; shift++) {
      const inside = Buffer.concat([patternBytes(30 + shift, 'a'), Buffer.from(mark), patternBytes(50, 'b')]);
      for (const encoding of ['latin1', 'hex', 'base64', 'base64url'] as const) {
        assert.notDeepEqual(findTraces(Buffer.from(inside.toString(encoding), 'latin1'), [mark]), [], encoding);
      }
    }
    const wide = Buffer.from(`is ${mark}`, 'utf16le');
    assert.notDeepEqual(findTraces(wide, [mark]), []);
    assert.notDeepEqual(findTraces(Buffer.from(wide).swap16(), [mark]), []);
    assert.notDeepEqual(findTraces(Buffer.from(Buffer.from(mark).toString('hex').toUpperCase()), [mark]), []);
  });

  it('shows no byte of what was stored and no name, after a workload with all that upkeep does', async () => {
    assertOk(await place.fetchSigned('PUT', `/${bucket}`));
    await putMany();
    await uploadParts();
    await searchAll([/^p\d\/segments\//, /^p\d\/shards\//, /^p\d\/index\.sqlite/, /^p\d\/provider\.json$/]);
    await copyTagAndDelete();
    await waitForUpkeep();
    await searchAll([/^p\d\/root$/]);
  });

  it('is no proof that nothing was stored: the gateway gives it back, and its own metadata have the names', async () => {
    const answer = await send('GET', `/${planted.key}-large`);
    assert.ok(answer.body.equals(plant(3 * MiB + 77, 'large')));
    assert.equal(answer.headers.get(`x-amz-meta-${planted.metadataName}`), planted.metadataValue);
    const files = await readdir(place.dataDir);
    const own = await Promise.all(
      files.filter((name) => name.startsWith('metadata.sqlite')).map((name) => readFile(join(place.dataDir, name))),
    );
    assert.notDeepEqual(findTraces(Buffer.concat(own), [planted.key]), []);
  });
});
