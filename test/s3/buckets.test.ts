import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  PutBucketVersioningCommand,
  paginateListBuckets,
} from '@aws-sdk/client-s3';
import { startGateway, type TestGateway } from '../harness/gateway.ts';
import { assertOk, assertS3Error, sdkError } from '../harness/s3-assertions.ts';

const constraint = (region: string): string =>
  `<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`;

describe('buckets', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway();
  });
  after(() => gateway.close());

  const create = (name: string, headers: Record<string, string> = {}) =>
    gateway.fetchSigned('PUT', `/${name}`, { headers });

  it('are made, found and removed', async () => {
    const created = await create('lifecycle');
    assertOk(created);
    assert.equal(created.headers.get('location'), '/lifecycle');
    assert.equal(created.text, '');
    const head = await gateway.client.send(new HeadBucketCommand({ Bucket: 'lifecycle' }));
    assert.equal(head.BucketRegion, 'us-east-1');
    assert.equal(head.AccessPointAlias, false);
    const removed = await gateway.fetchSigned('DELETE', '/lifecycle');
    assertOk(removed, 204);
    assert.equal(removed.text, '');
    assertS3Error(await gateway.fetchSigned('GET', '/lifecycle'), 404, 'NoSuchBucket');
    assertS3Error(await gateway.fetchSigned('DELETE', '/lifecycle'), 404, 'NoSuchBucket');
    const missing = await gateway.fetchSigned('HEAD', '/lifecycle');
    assert.equal(missing.status, 404);
    assert.equal(missing.text, '');
  });

  it('are left as they are when their owner makes them again in us-east-1', async () => {
    assertOk(await create('twice'));
    assertOk(await gateway.fetchSigned('PUT', '/twice/key', { body: 'kept' }));
    assertOk(await create('twice'));
    assert.equal((await gateway.fetchSigned('GET', '/twice/key')).text, 'kept');
  });

  it('belong to whoever made them', async () => {
    assertOk(await create('owned'));
    const taken = assertS3Error(await gateway.fetchAsStranger('PUT', '/owned'), 409, 'BucketAlreadyExists');
    assert.equal(taken.BucketName, 'owned');
    for (const [method, path] of [
      ['GET', '/owned'],
      ['GET', '/owned?versions'],
      ['GET', '/owned?uploads'],
      ['GET', '/owned?location'],
      ['GET', '/owned?versioning'],
      ['DELETE', '/owned'],
      ['PUT', '/owned/key'],
      ['GET', '/owned/key?attributes'],
      ['POST', '/owned/key?uploads'],
    ] as const) {
      assertS3Error(await gateway.fetchAsStranger(method, path), 403, 'AccessDenied');
    }
    assert.equal((await gateway.fetchAsStranger('HEAD', '/owned')).status, 403);
  });

  it('are not removed while anything is in them, but unfinished uploads go with them', async () => {
    assertOk(await create('full'));
    assertOk(await gateway.fetchSigned('PUT', '/full/key', { body: 'x' }));
    const refused = assertS3Error(await gateway.fetchSigned('DELETE', '/full'), 409, 'BucketNotEmpty');
    assert.equal(refused.BucketName, 'full');
    assertOk(await gateway.fetchSigned('DELETE', '/full/key'), 204);
    assertOk(await gateway.fetchSigned('POST', '/full/key?uploads'));
    assertOk(await gateway.fetchSigned('DELETE', '/full'), 204);
  });

  it('are not removed while a delete marker is in them', async () => {
    assertOk(await create('marked'));
    await setVersioning('marked', 'Enabled');
    assertOk(await gateway.fetchSigned('DELETE', '/marked/key'), 204);
    await assert.rejects(
      gateway.client.send(new DeleteBucketCommand({ Bucket: 'marked' })),
      sdkError(409, 'BucketNotEmpty'),
    );
  });

  for (const name of [
    'Abc',
    'ab',
    'a..b',
    '192.168.5.4',
    'xn--abc',
    'abc-s3alias',
    'under_score',
    `x${'y'.repeat(63)}`,
  ]) {
    it(`are not named ${name}`, async () => {
      const error = assertS3Error(await create(name), 400, 'InvalidBucketName');
      assert.equal(error.BucketName, name);
    });
  }

  const headerRows = [
    ['x-amz-acl', 'private', 200, ''],
    ['x-amz-acl', 'public-read', 400, 'InvalidBucketAclWithObjectOwnership'],
    ['x-amz-grant-read', 'id=abc', 400, 'InvalidBucketAclWithObjectOwnership'],
    ['x-amz-object-ownership', 'BucketOwnerEnforced', 200, ''],
    ['x-amz-object-ownership', 'ObjectWriter', 501, 'NotImplemented'],
    ['x-amz-object-ownership', 'Mine', 400, 'InvalidArgument'],
    ['x-amz-bucket-object-lock-enabled', 'false', 200, ''],
    ['x-amz-bucket-object-lock-enabled', 'true', 501, 'NotImplemented'],
  ] as const;
  for (const [at, [header, value, status, code]] of headerRows.entries()) {
    it(`are made with ${header}: ${value} or refused as AWS would (${status})`, async () => {
      const answer = await create(`headers-${at}`, { [header]: value });
      if (status === 200) return assertOk(answer);
      assertS3Error(answer, status, code);
      assertS3Error(await gateway.fetchSigned('GET', `/headers-${at}`), 404, 'NoSuchBucket');
    });
  }

  const bodyRows = [
    [constraint('us-east-1'), 200, ''],
    [constraint(''), 200, ''],
    ['<CreateBucketConfiguration/>', 200, ''],
    [constraint('eu-west-1'), 400, 'IllegalLocationConstraintException'],
    [constraint('EU'), 400, 'IllegalLocationConstraintException'],
    [constraint('nowhere'), 400, 'InvalidLocationConstraint'],
    ['<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>', 501, 'NotImplemented'],
    ['<Create', 400, 'MalformedXML'],
    ['<Other/>', 400, 'MalformedXML'],
  ] as const;
  for (const [at, [body, status, code]] of bodyRows.entries()) {
    it(`take the body ${body.replace(/ xmlns="[^"]*"/, '')} with ${status}`, async () => {
      const answer = await gateway.fetchSigned('PUT', `/body-${at}`, { body });
      if (status === 200) assertOk(answer);
      else assertS3Error(answer, status, code);
    });
  }

  it('have no name for their region in us-east-1', async () => {
    assertOk(await create('here'));
    const { text } = await gateway.fetchSigned('GET', '/here?location');
    assert.match(text, /<LocationConstraint xmlns="[^"]+"(\/>|><\/LocationConstraint>)$/);
    const location = await gateway.client.send(new GetBucketLocationCommand({ Bucket: 'here' }));
    assert.equal(location.LocationConstraint, undefined);
  });

  const setVersioning = (Bucket: string, Status: 'Enabled' | 'Suspended') =>
    gateway.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));

  it('have versioning once it was set, and then no way back but to suspend it', async () => {
    assertOk(await create('versioned'));
    const status = async () =>
      (await gateway.client.send(new GetBucketVersioningCommand({ Bucket: 'versioned' }))).Status;
    assert.equal(await status(), undefined);
    for (const wanted of ['Enabled', 'Suspended', 'Enabled'] as const) {
      await setVersioning('versioned', wanted);
      assert.equal(await status(), wanted);
    }
  });

  const versioningRows = [
    ['<Status>Disabled</Status>', 400, 'MalformedXML'],
    ['<Status>enabled</Status>', 400, 'MalformedXML'],
    ['', 400, 'IllegalVersioningConfigurationException'],
    ['<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>', 501, 'NotImplemented'],
    ['<Status>Enabled</Status><MfaDelete>No</MfaDelete>', 400, 'MalformedXML'],
    ['<Status>Enabled</Status><Status>Enabled</Status>', 400, 'MalformedXML'],
    ['<Status>Enabled</Status><Other/>', 400, 'MalformedXML'],
  ] as const;
  for (const [inner, status, code] of versioningRows) {
    it(`refuse the versioning ${inner || 'that names no status'} with ${code}`, async () => {
      assertOk(await create('unversioned'));
      const body = `<VersioningConfiguration>${inner}</VersioningConfiguration>`;
      assertS3Error(await gateway.fetchSigned('PUT', '/unversioned?versioning', { body }), status, code);
      assert.doesNotMatch((await gateway.fetchSigned('GET', '/unversioned?versioning')).text, /Status/);
    });
  }

  it('want a body to set versioning', async () => {
    assertOk(await create('unversioned'));
    assertS3Error(await gateway.fetchSigned('PUT', '/unversioned?versioning'), 400, 'MissingRequestBodyError');
  });
});

describe('buckets of another region', () => {
  let gateway: TestGateway;

  before(async () => {
    gateway = await startGateway({ config: { region: 'eu-west-1' } });
  });
  after(() => gateway.close());

  it('are made with that region as constraint', async () => {
    for (const [name, region] of [
      ['by-name', 'eu-west-1'],
      ['by-alias', 'EU'],
    ] as const) {
      assertOk(await gateway.fetchSigned('PUT', `/${name}`, { body: constraint(region) }));
      const location = await gateway.client.send(new GetBucketLocationCommand({ Bucket: name }));
      assert.equal(location.LocationConstraint, 'eu-west-1');
    }
  });

  it('are refused without a constraint, and with that of another region', async () => {
    const none = assertS3Error(await gateway.fetchSigned('PUT', '/none'), 400, 'IllegalLocationConstraintException');
    assert.match(none.Message ?? '', /^The unspecified location constraint is incompatible/);
    const other = await gateway.fetchSigned('PUT', '/other', { body: constraint('us-west-2') });
    assertS3Error(other, 400, 'IllegalLocationConstraintException');
  });

  it('are not made twice, not even by their owner', async () => {
    const body = constraint('eu-west-1');
    assertOk(await gateway.fetchSigned('PUT', '/again', { body }));
    const error = assertS3Error(await gateway.fetchSigned('PUT', '/again', { body }), 409, 'BucketAlreadyOwnedByYou');
    assert.equal(error.BucketName, 'again');
    const name = 'BucketAlreadyExists';
    const CreateBucketConfiguration = { LocationConstraint: 'eu-west-1' } as const;
    const taken = gateway.stranger.send(new CreateBucketCommand({ Bucket: 'again', CreateBucketConfiguration }));
    await assert.rejects(taken, sdkError(409, name));
  });
});

describe('the list of buckets', () => {
  let gateway: TestGateway;
  const names = ['a.1', 'a.2', 'a.3', 'b.1', 'b.2'].map((name) => `list-${name}`);

  before(async () => {
    gateway = await startGateway();
    for (const Bucket of names) await gateway.client.send(new CreateBucketCommand({ Bucket }));
    await gateway.stranger.send(new CreateBucketCommand({ Bucket: 'list-strange' }));
  });
  after(() => gateway.close());

  const list = async (query = ''): Promise<{ text: string; names: string[] }> => {
    const answer = await gateway.fetchSigned('GET', `/${query}`);
    assertOk(answer);
    return {
      text: answer.text,
      names: [...answer.text.matchAll(/<Name>(.*?)<\/Name>/g)].map(([, name]) => name ?? ''),
    };
  };

  it('holds the buckets of the caller, and names their owner', async () => {
    const listed = await gateway.client.send(new ListBucketsCommand({}));
    assert.deepEqual(
      listed.Buckets?.map(({ Name }) => Name),
      names,
    );
    assert.deepEqual(listed.Owner, { ID: 'a'.repeat(64), DisplayName: 'root' });
    assert.ok(Math.abs(Number(listed.Buckets?.[0]?.CreationDate) - Date.now()) < 60_000);
    assert.equal(listed.Buckets?.[0]?.BucketRegion, undefined);
    const strange = await gateway.stranger.send(new ListBucketsCommand({}));
    assert.deepEqual(
      strange.Buckets?.map(({ Name }) => Name),
      ['list-strange'],
    );
  });

  it('is paged when asked for, with regions', async () => {
    const pages: (string | undefined)[][] = [];
    for await (const page of paginateListBuckets({ client: gateway.client, pageSize: 2 }, {})) {
      assert.ok(page.Buckets?.every(({ BucketRegion }) => BucketRegion === 'us-east-1'));
      pages.push(page.Buckets?.map(({ Name }) => Name) ?? []);
    }
    assert.deepEqual(pages, [names.slice(0, 2), names.slice(2, 4), names.slice(4)]);
  });

  it('is narrowed by prefix, and says so', async () => {
    const { names: found, text } = await list('?prefix=list-b');
    assert.deepEqual(found, ['list-b.1', 'list-b.2']);
    assert.match(text, /<\/Buckets><Prefix>list-b<\/Prefix>/);
    assert.deepEqual((await list('?prefix=zzz')).names, []);
    const page = await list('?max-buckets=1&prefix=list-b');
    assert.deepEqual(page.names, ['list-b.1']);
    const token = /<ContinuationToken>(.*?)</.exec(page.text)?.[1] ?? '';
    const rest = await list(`?continuation-token=${token}&prefix=list-b`);
    assert.deepEqual(rest.names, ['list-b.2']);
    assert.doesNotMatch(rest.text, /ContinuationToken/);
  });

  it('is narrowed to the region of the gateway, and to no other', async () => {
    assert.deepEqual((await list('?bucket-region=us-east-1')).names, names);
    const other = await gateway.fetchSigned('GET', '/?bucket-region=eu-west-1');
    assert.match(assertS3Error(other, 400, 'InvalidArgument').Message ?? '', /corresponding regional endpoint/);
    const none = await gateway.fetchSigned('GET', '/?bucket-region=zz');
    assert.match(
      assertS3Error(none, 400, 'InvalidArgument').Message ?? '',
      /^Argument value zz is not a valid AWS Region/,
    );
  });

  for (const [query, argument, value] of [
    ['max-buckets=0', 'max-buckets', '0'],
    ['max-buckets=-1', 'max-buckets', '-1'],
    ['max-buckets=10001', 'max-buckets', '10001'],
    ['max-buckets=many', 'max-buckets', 'many'],
    ['continuation-token=garbage', 'continuation-token', undefined],
  ] as const) {
    it(`is refused for ${query}`, async () => {
      const error = assertS3Error(await gateway.fetchSigned('GET', `/?${query}`), 400, 'InvalidArgument');
      assert.equal(error.ArgumentName, argument);
      assert.equal(error.ArgumentValue, value);
    });
  }
});
