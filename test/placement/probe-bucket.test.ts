import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProviderId } from '../../core/model.ts';
import { type BucketAddress, openBucketClient } from '../../placement/providers/bucket/bucket-client.ts';
import { claimBucket } from '../../placement/providers/bucket/bucket-marker.ts';
import { bucketCapabilities, probeBucket } from '../../placement/providers/bucket/probe-bucket.ts';
import { rootKey, startGateway, strangerKey } from '../harness/gateway.ts';
import { stubAddress } from './bucket-harness.ts';
import { type StubFault, sendError, startStubS3 } from './stub-s3.ts';

async function probeStub(fault?: StubFault, options: Partial<BucketAddress & { id: ProviderId }> = {}) {
  const stub = await startStubS3();
  try {
    stub.fault = fault;
    const probe = await probeBucket({ ...stubAddress(stub), ...options });
    return { ...probe, stub, keys: [...stub.objects.keys()] };
  } finally {
    await stub.close();
  }
}

/** What one capability came to: its outcome and its sentence. */
async function findOne(capability: string, fault: StubFault) {
  const { findings, isUsable, stub } = await probeStub(fault);
  const finding = findings.find((found) => found.capability === capability);
  assert.ok(finding, capability);
  if (finding.outcome !== 'good') assert.match(finding.sentence, new RegExp(`The bucket stub at ${stub.url}`));
  assert.equal(isUsable, finding.outcome !== 'bad');
  return finding;
}

const refuse =
  (
    isIt: (request: Parameters<StubFault>[0]) => boolean,
    ...[status, code, more]: [number, string, string?]
  ): StubFault =>
  (request, response) => {
    if (!isIt(request)) return false;
    sendError(response, status, code, 'as told', more);
    return true;
  };
const always = () => true;

describe('probing a bucket', () => {
  it('finds all good, and leaves nothing behind', async () => {
    const { isUsable, findings, keys, stub } = await probeStub();
    assert.ok(isUsable);
    assert.deepEqual(
      findings.map(({ capability, outcome }) => [capability, outcome]),
      bucketCapabilities.map((capability) => [capability, 'good']),
    );
    assert.deepEqual(keys, []);
    assert.equal(stub.uploads.size, 0);
  });

  it('finds all good at another Holdfast; names wrong keys, a stranger’s bucket, and one that is not there', async () => {
    const gateway = await startGateway();
    try {
      await gateway.fetchSigned('PUT', '/probed');
      const address = { endpoint: gateway.url, region: 'us-east-1', bucket: 'probed', ...rootKey };
      const good = await probeBucket(address);
      assert.deepEqual(
        good.findings.filter(({ outcome }) => outcome !== 'good'),
        [],
      );
      const sentenceOf = async (changes: Partial<BucketAddress>) => {
        const { isUsable, findings } = await probeBucket({ ...address, ...changes });
        assert.ok(!isUsable);
        assert.equal(findings.length, 1);
        return findings[0]?.sentence ?? '';
      };
      assert.match(await sentenceOf({ secretAccessKey: 'not-this-one' }), /does not accept the access key/);
      assert.match(await sentenceOf({ accessKeyId: 'NOBODYSKEY' }), /does not accept the access key NOBODYSKEY/);
      assert.match(await sentenceOf(strangerKey), /does not permit s3:PutObject/);
      assert.match(await sentenceOf({ bucket: 'not-there' }), /knows no such bucket: create it/);
      assert.match(await sentenceOf({ region: 'eu-west-9' }), /in the region us-east-1, not in eu-west-9/);
      const versions = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
      await gateway.fetchSigned('PUT', '/probed?versioning', { body: Buffer.from(versions) });
      const { isUsable, findings } = await probeBucket(address);
      assert.ok(isUsable);
      const warnings = findings.filter(({ outcome }) => outcome !== 'good');
      assert.deepEqual(
        warnings.map(({ capability, outcome }) => [capability, outcome]),
        [['delete', 'warning']],
      );
      assert.match(warnings[0]?.sentence ?? '', /keeps old versions/);
    } finally {
      await gateway.close();
    }
  });

  it('says that nobody answers', async () => {
    const { findings, isUsable } = await probeStub(undefined, { endpoint: 'http://127.0.0.1:9' });
    assert.ok(!isUsable);
    assert.match(findings[0]?.sentence ?? '', /at http:\/\/127.0.0.1:9 cannot be reached.*ECONNREFUSED/);
  });

  it('names a wrong region, a wrong clock, a full bucket, and too many requests', async () => {
    const region = '<Region>eu-west-1</Region>';
    const cases: [number, string, string, RegExp][] = [
      [301, 'PermanentRedirect', '', /sends us elsewhere: the region us-east-1/],
      [400, 'AuthorizationHeaderMalformed', region, /is in the region eu-west-1, not in us-east-1: set region/],
      [403, 'RequestTimeTooSkewed', '', /set the clocks/],
      [507, 'InsufficientStorage', '', /no space/],
      [503, 'SlowDown', '', /wants fewer requests/],
      [400, 'XAmzContentSHA256Mismatch', '', /refuses a checksum or a signed payload/],
    ];
    for (const [status, code, more, sentence] of cases) {
      const finding = await findOne('put', refuse(always, status, code, more));
      assert.equal(finding.outcome, 'bad');
      assert.match(finding.sentence, sentence);
    }
  });

  it('names what is not permitted or not known, one by one', async () => {
    const cases: [string, StubFault, RegExp][] = [
      [
        'get-range',
        refuse(({ headers, method }) => method === 'GET' && !!headers.range, 403, 'AccessDenied'),
        /s3:GetObject/,
      ],
      ['list', refuse(({ query }) => query.has('max-keys'), 403, 'AccessDenied'), /s3:ListBucket/],
      [
        'copy',
        refuse(({ headers }) => !!headers['x-amz-copy-source'], 501, 'NotImplemented'),
        /does not know.*CopyObject/,
      ],
      [
        'delete',
        refuse(({ method, query }) => method === 'DELETE' && !query.has('uploadId'), 403, 'AccessDenied'),
        /s3:DeleteObject/,
      ],
    ];
    for (const [capability, fault, sentence] of cases) {
      const finding = await findOne(capability, fault);
      assert.equal(finding.outcome, 'bad');
      assert.match(finding.sentence, sentence);
    }
  });

  it('only warns where uploads cannot be listed', async () => {
    const finding = await findOne(
      'list-uploads',
      refuse(({ key, query }) => key === '' && query.has('uploads'), 403, 'AccessDenied'),
    );
    assert.equal(finding.outcome, 'warning');
    assert.match(finding.sentence, /let the endpoint abort them/);
  });

  it('sees an endpoint that ignores ranges or start-after, lies of lengths, or does not delete', async () => {
    const body = Buffer.alloc(1000);
    const cases: [string, StubFault][] = [
      [
        'get-range',
        ({ headers, method }, response) => {
          if (method !== 'GET' || !headers.range) return false;
          response.writeHead(200).end(body);
          return true;
        },
      ],
      [
        'head',
        ({ method }, response) => {
          if (method !== 'HEAD') return false;
          response.writeHead(200, { 'content-length': 5, 'last-modified': new Date().toUTCString() }).end();
          return true;
        },
      ],
      [
        'list',
        ({ query }) => {
          query.delete('start-after');
          return false;
        },
      ],
      [
        'delete',
        ({ method, query }, response) => {
          if (method !== 'DELETE' || query.has('uploadId')) return false;
          response.writeHead(204).end();
          return true;
        },
      ],
    ];
    for (const [capability, fault] of cases) {
      const { findings, isUsable } = await probeStub(fault);
      assert.ok(!isUsable);
      assert.equal(findings.find((found) => found.capability === capability)?.outcome, 'bad', capability);
    }
  });

  it('says whose the prefix is', async () => {
    const stub = await startStubS3();
    try {
      const client = await openBucketClient(stubAddress(stub));
      await claimBucket(client, 'b1' as ProviderId);
      client.close();
      assert.ok((await probeBucket({ ...stubAddress(stub), id: 'b1' as ProviderId })).isUsable);
      const { isUsable, findings } = await probeBucket({ ...stubAddress(stub), id: 'b2' as ProviderId });
      assert.ok(!isUsable);
      assert.match(findings.find(({ outcome }) => outcome === 'bad')?.sentence ?? '', /belongs to the provider b1/);
    } finally {
      await stub.close();
    }
  });

  it('ends with the signal', async () => {
    const reason = new Error('enough');
    const stub = await startStubS3();
    try {
      const controller = new AbortController();
      stub.fault = () => {
        controller.abort(reason);
        return true;
      };
      await assert.rejects(probeBucket(stubAddress(stub), controller.signal), (error) => error === reason);
    } finally {
      await stub.close();
    }
  });
});
