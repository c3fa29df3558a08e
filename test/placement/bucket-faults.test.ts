import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { isFailure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import { BucketError, type BucketFault } from '../../placement/providers/bucket/bucket-error.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { pollUntil } from '../harness/poll-until.ts';
import { MiB, openStubBucket } from './bucket-harness.ts';
import { nameOf } from './provider-conformance.ts';
import { type StubFault, type StubRequest, type StubS3, sendError, sendXml } from './stub-s3.ts';

/** A `provider-error`, whose cause says what it was. */
function isProviderError(fault?: BucketFault): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isFailure(error, 'provider-error'), String(error));
    assert.ok(error.cause instanceof BucketError, String(error.cause));
    if (fault !== undefined) assert.equal(error.cause.fault, fault, error.cause.message);
    return true;
  };
}

async function putShard(provider: Provider, bytes: Uint8Array): Promise<ShardCid> {
  await provider.putShard(nameOf(bytes), [bytes]);
  return nameOf(bytes);
}

async function writeShard(provider: Provider, bytes: Uint8Array): Promise<ShardCid> {
  const writer = await provider.createShard();
  for (let offset = 0; offset < bytes.length; offset += MiB) {
    await writer.append([bytes.subarray(offset, offset + MiB)]);
  }
  await writer.commit(nameOf(bytes));
  return nameOf(bytes);
}

/** Breaks every request whose kind it is. */
function when(matches: (request: StubRequest) => boolean, act: (response: ServerResponse) => void): StubFault {
  return (request, response) => {
    if (!matches(request)) return false;
    act(response);
    return true;
  };
}

const isGet = ({ method, key }: StubRequest) => method === 'GET' && key !== '';
const isPut = ({ method }: StubRequest) => method === 'PUT';
const isList = ({ key, query }: StubRequest) => key === '' && query.get('prefix') === 'p/shards/';
const always = () => true;

/** Parts of an answer to come, as long as somebody reads. */
function sendForEver(response: ServerResponse): void {
  const chunk = Buffer.alloc(65_536, ' ');
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}

describe('roots that are written at once', () => {
  it('go to a bucket one after the other, so that it keeps the last', async () => {
    await using opened = await openStubBucket();
    const { stub, provider } = opened;
    let [open, most] = [0, 0];
    stub.fault = (request, response) => {
      if (!isPut(request)) return false;
      most = Math.max(most, ++open);
      void (async () => {
        for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
        open--;
        response.writeHead(200, { etag: '"root"' }).end();
      })();
      return true;
    };
    await Promise.all([1, 2, 3, 4].map((root) => provider.writeRoot(new Uint8Array(root))));
    assert.equal(most, 1);
  });
});

describe('a bucket that lies', () => {
  const bytes = randomBytes(3000);
  const lies: Record<string, (response: ServerResponse) => void> = {
    'sends the object from its start': (response) => void response.writeHead(200).end(bytes),
    'sends less than was asked for': (response) =>
      void response.writeHead(206, { 'content-range': 'bytes 100-149/3000' }).end(bytes.subarray(100, 150)),
    'sends another range': (response) =>
      void response.writeHead(206, { 'content-range': 'bytes 0-999/3000' }).end(bytes.subarray(0, 1000)),
    'sends another range of the right length, and does not say which': (response) =>
      void response.writeHead(200).end(bytes.subarray(0, 1000)),
    'sends without end': (response) => {
      response.writeHead(206, { 'content-range': 'bytes 100-1099/3000' });
      sendForEver(response);
    },
    'sends less, in chunks': (response) => {
      response.writeHead(206, { 'content-range': 'bytes 100-1099/3000' });
      response.end(bytes.subarray(100, 600));
    },
    'sends nothing': (response) => void response.writeHead(206).end(),
    'breaks off': (response) => {
      response.writeHead(206, { 'content-length': 1000, 'content-range': 'bytes 100-1099/3000' });
      response.write(bytes.subarray(100, 600), () => response.destroy());
    },
    'redirects to another place': (response) =>
      void response.writeHead(302, { location: 'http://127.0.0.1:9/elsewhere' }).end(),
    'answers garbage': (response) => void response.writeHead(500).end('<html><bo'),
    'answers 404 with words of its own': (response) => void response.writeHead(404).end('<html>no such route</html>'),
    'answers that the bucket is gone': (response) => sendError(response, 404, 'NoSuchBucket'),
    'answers 500 without end': (response) => {
      response.writeHead(500, { 'content-type': 'application/xml' });
      sendForEver(response);
    },
  };
  for (const [what, lie] of Object.entries(lies)) {
    it(`and ${what} fails to read`, async () => {
      await using bucket = await openStubBucket();
      const { stub, provider } = bucket;
      const cid = await putShard(provider, bytes);
      stub.fault = when(isGet, lie);
      await assert.rejects(provider.readShard(cid, 100, 1000), isProviderError());
      stub.fault = undefined;
      assert.ok(bytes.subarray(100, 1100).equals(await provider.readShard(cid, 100, 1000)));
    });
  }

  const entry = (key: string, size = '10', time = '2026-01-01T00:00:00.000Z') =>
    `<Contents><Key>${key}</Key><Size>${size}</Size><LastModified>${time}</LastModified></Contents>`;
  const [first, second] = [nameOf(Buffer.from('1')), nameOf(Buffer.from('2'))].sort() as [ShardCid, ShardCid];
  const listings: Record<string, string> = {
    'keys out of order': entry(`p/shards/${second}`) + entry(`p/shards/${first}`),
    'a key twice': entry(`p/shards/${first}`) + entry(`p/shards/${first}`),
    'keys of others': entry(`q/shards/${first}`),
    'a length that is none': entry(`p/shards/${first}`, '-1'),
    'a time that is none': entry(`p/shards/${first}`, '1', 'yesterday'),
    'no keys, and more to come': '<IsTruncated>true</IsTruncated>',
    'more keys than were asked for': Array.from({ length: 11 }, (_, i) => entry(`p/shards/${10 + i}`)).join(''),
  };
  for (const [what, listing] of Object.entries(listings)) {
    it(`and lists ${what} fails to list`, async () => {
      await using bucket = await openStubBucket();
      const { stub, provider } = bucket;
      await putShard(provider, bytes);
      stub.fault = when(isList, (response) => sendXml(response, `<ListBucketResult>${listing}</ListBucketResult>`));
      await assert.rejects(provider.listShards(undefined, 10), isProviderError());
    });
  }

  it('and sends a listing that is no XML, or has no end, fails to list', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    await putShard(provider, bytes);
    stub.fault = when(isList, (response) => sendXml(response, '<ListBucketResult><Contents><Key>p/sha'));
    await assert.rejects(provider.listShards(undefined, 10), isProviderError());
    stub.fault = when(isList, (response) => {
      response.writeHead(200);
      response.write('<ListBucketResult>');
      sendForEver(response);
    });
    await assert.rejects(provider.listShards(undefined, 10), isProviderError('bad-answer'));
  });

  it('skips what others left among the shards', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const cid = await putShard(provider, bytes);
    for (const key of ['!first', 'readme.txt', cid.toUpperCase()]) {
      stub.objects.set(`p/shards/${key}`, { body: bytes, modifiedAt: new Date() });
    }
    const seen: ShardCid[] = [];
    let cursor: string | undefined;
    do {
      const page = await provider.listShards(cursor, 1);
      seen.push(...page.shards.map((shard) => shard.cid));
      cursor = page.cursor;
    } while (cursor !== undefined);
    assert.deepEqual(seen, [cid]);
  });
});

describe('a bucket in trouble', () => {
  const bytes = randomBytes(3000);
  const troubles: [string, (response: ServerResponse) => void, BucketFault][] = [
    ['wants fewer requests', (response) => sendError(response, 503, 'SlowDown'), 'throttled'],
    ['wants fewer requests, without words', (response) => void response.writeHead(429).end(), 'throttled'],
    ['has an internal error', (response) => sendError(response, 500, 'InternalError'), 'failed'],
    ['is behind a proxy in trouble', (response) => void response.writeHead(502).end('<html>bad gateway'), 'failed'],
    ['does not permit it', (response) => sendError(response, 403, 'AccessDenied'), 'denied'],
    ['is in another region', (response) => sendError(response, 301, 'PermanentRedirect'), 'redirected'],
  ];
  for (const [what, act, fault] of troubles) {
    it(`that ${what} fails each call once, and says why`, async () => {
      await using bucket = await openStubBucket();
      const { stub, provider } = bucket;
      const cid = await putShard(provider, bytes);
      stub.fault = when(always, act);
      const calls = [
        () => provider.putShard(cid, [bytes]),
        () => provider.readShard(cid, 0, 10),
        () => provider.deleteShard(cid),
        () => provider.listShards(undefined, 10),
        () => provider.readRoot(),
        () => provider.writeRoot(bytes),
      ];
      for (const call of calls) {
        const before = stub.requests.length;
        await assert.rejects(call, isProviderError(fault), String(call));
        assert.equal(stub.requests.length, before + 1, 'callers retry, providers do not');
      }
      await assert.rejects(provider.statShard(cid), isProviderError());
    });
  }

  const refusals: [string, (response: ServerResponse) => void][] = [
    ['Holdfast', (response) => sendError(response, 507, 'InsufficientStorage')],
    ['Ceph', (response) => sendError(response, 403, 'QuotaExceeded')],
    ['a full MinIO', (response) => sendError(response, 507, 'XMinioStorageFull')],
    ['a quota of MinIO', (response) => sendError(response, 400, 'XMinioAdminBucketQuotaExceeded')],
    ['B2', (response) => sendError(response, 403, 'AccessDenied', 'Cannot upload files, storage cap exceeded.')],
    ['Garage', (response) => sendError(response, 403, 'AccessDenied', 'Forbidden: Bucket size quota is reached')],
  ];
  for (const [who, refuse] of refusals) {
    it(`that is full, in the words of ${who}, is full`, async () => {
      await using bucket = await openStubBucket();
      const { stub, provider } = bucket;
      const cid = await putShard(provider, bytes);
      stub.fault = when(isPut, refuse);
      await assert.rejects(provider.putShard(cid, [bytes]), (error) => isFailure(error, 'provider-full'));
      const writer = await provider.createShard();
      await writer.append([bytes]);
      await assert.rejects(writer.commit(cid), (error) => isFailure(error, 'provider-full'));
      assert.equal((await provider.capacity()).freeBytes, 0);
      assert.ok(bytes.equals(await provider.readShard(cid, 0, 3000)));
      await provider.deleteShard(cid);
    });
  }

  it('that is gone is not one whose shards are missing', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const cid = await putShard(provider, bytes);
    stub.fault = (request, response) => {
      if (request.method === 'HEAD') response.writeHead(404).end();
      else sendError(response, 404, 'NoSuchBucket');
      return true;
    };
    await assert.rejects(provider.readShard(cid, 0, 10), isProviderError('bucket-missing'));
    await assert.rejects(provider.statShard(cid), isProviderError('bucket-missing'));
    await assert.rejects(provider.readRoot(), isProviderError('bucket-missing'));
  });

  it('that closed an idle connection is asked again, once', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const cid = await putShard(provider, bytes);
    let resets = 0;
    const reset: StubFault = (_, response) => {
      resets += 1;
      response.socket?.resetAndDestroy();
      return true;
    };
    stub.fault = (request, response) => resets === 0 && reset(request, response);
    await provider.putShard(cid, [bytes]);
    assert.equal(resets, 1);
    stub.fault = reset;
    await assert.rejects(provider.putShard(cid, [bytes]), isProviderError('unreachable'));
    assert.equal(resets, 3);
  });

  it('that hangs is given up when the signal says so, before an answer and within', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    const cid = await putShard(provider, bytes);
    const hangs: StubFault[] = [
      () => true,
      (_, response) => {
        response.writeHead(206, { 'content-length': 1000, 'content-range': 'bytes 0-999/3000' });
        response.write(bytes.subarray(0, 10));
        return true;
      },
    ];
    for (const fault of hangs) {
      let hanging = false;
      stub.fault = (request, response) => {
        hanging = true;
        return fault(request, response);
      };
      const controller = new AbortController();
      const reason = new Error('late');
      const call = provider.readShard(cid, 0, 1000, controller.signal);
      call.catch(() => {});
      await pollUntil('the request arrived', () => hanging);
      controller.abort(reason);
      await assert.rejects(call, (error) => error === reason);
    }
  });

  it('uses few connections, again and again', async () => {
    await using bucket = await openStubBucket({ maxSockets: 3 });
    const { stub, provider } = bucket;
    const cids = await Promise.all(Array.from({ length: 30 }, (_, i) => putShard(provider, randomBytes(100 + i))));
    await Promise.all(cids.map((cid) => provider.readShard(cid, 0, 100)));
    assert.ok(stub.countConnections() <= 3, `${stub.countConnections()} connections`);
  });
});

describe('a shard of several parts', () => {
  const bytes = randomBytes(12 * MiB + 7);
  const kindsOf = (stub: StubS3) =>
    stub.requests.map(({ method, key, query, headers }) => {
      const what = ['uploads', 'partNumber', 'uploadId'].find((name) => query.has(name)) ?? '';
      const folder = key.split('/')[1] ?? 'bucket';
      return `${method} ${folder}${what && ` ${what}`}${headers['x-amz-copy-source'] ? ' copy' : ''}`;
    });

  it('is uploaded under another name, in parts of one length, and copied to its own', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    await provider.capacity();
    stub.requests.length = 0;
    const cid = await writeShard(provider, bytes);
    assert.deepEqual(kindsOf(stub).slice(0, 6), [
      'POST incoming uploads',
      'PUT incoming partNumber',
      'PUT incoming partNumber',
      'PUT incoming partNumber',
      'POST incoming uploadId',
      'PUT shards copy',
    ]);
    const parts = stub.requests.filter(({ query }) => query.has('partNumber')).map(({ body }) => body.length);
    assert.deepEqual(parts, [5 * MiB, 5 * MiB, 2 * MiB + 7]);
    assert.ok(bytes.equals(await provider.readShard(cid, 0, bytes.length)));
    await pollUntil('the first copy is gone', () => ![...stub.objects.keys()].some((key) => key.includes('incoming')));
  });

  it('takes one request where it fits into one part, to the byte', async () => {
    await using bucket = await openStubBucket();
    const { stub, provider } = bucket;
    await provider.capacity();
    stub.requests.length = 0;
    await writeShard(provider, bytes.subarray(0, 5 * MiB));
    assert.deepEqual(kindsOf(stub), ['PUT shards']);
    assert.equal(stub.requests[0]?.headers['x-amz-checksum-crc32'], undefined);
  });

  const failure = '<Error><Code>InternalError</Code><Message>sorry</Message></Error>\n';
  const failures: Record<string, StubFault> = {
    'an upload is refused': when(
      ({ method, query }) => method === 'POST' && query.has('uploads'),
      (response) => sendError(response, 503, 'SlowDown'),
    ),
    'a part fails': when(
      ({ query }) => query.get('partNumber') === '2',
      (response) => sendError(response, 500, 'InternalError'),
    ),
    'the completion fails with 200': when(
      ({ method, query }) => method === 'POST' && query.has('uploadId'),
      (response) => sendXml(response, failure),
    ),
    'the completion says nothing': when(
      ({ method, query }) => method === 'POST' && query.has('uploadId'),
      (response) => sendXml(response, '<CompleteMultipartUploadResult/>'),
    ),
    'the copy fails with 200': when(
      ({ headers }) => headers['x-amz-copy-source'] !== undefined,
      (response) => sendXml(response, failure),
    ),
    'the copy says nothing': when(
      ({ headers }) => headers['x-amz-copy-source'] !== undefined,
      (response) => sendXml(response, '<CopyObjectResult></CopyObjectResult>'),
    ),
  };
  for (const [what, fault] of Object.entries(failures)) {
    it(`fails where ${what}, and leaves nothing behind`, async () => {
      await using bucket = await openStubBucket();
      const { stub, provider } = bucket;
      stub.fault = fault;
      await assert.rejects(writeShard(provider, bytes), isProviderError());
      stub.fault = undefined;
      await assert.rejects(provider.statShard(nameOf(bytes)), (error) => isFailure(error, 'shard-missing'));
      await provider.close();
      assert.equal(stub.uploads.size, 0);
      assert.deepEqual([...stub.objects.keys()], ['p/provider.json']);
    });
  }
});
