import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { SealedSpan, Stripe } from '../../core/model.ts';
import { MasterKey } from '../../crypto/master-key.ts';
import { packageBytes, sealedPackageBytes } from '../../crypto/sealed-stream.ts';
import { openManifest } from '../../engine/manifest.ts';
import { storedBlockBytes, storedShardCount } from '../../erasure/geometry.ts';
import {
  digestBlock,
  encodeShardFooter,
  encodeShardHeader,
  shardBlockOffset,
  shardCid,
} from '../../erasure/shard-format.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import {
  bucketName,
  collect,
  createTestEngine,
  failure,
  get,
  listCids,
  masterKey,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  put,
  stripesOf,
  type TestEngine,
  verifyShards,
} from './engine-harness.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const codec = createWasmCodec();

describe('what lies at providers', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine();
  });
  afterEach(() => test.close());

  async function* allShards(): AsyncGenerator<Buffer> {
    for (const provider of test.providers) {
      for (const cid of await listCids(provider)) {
        const { bytes } = await provider.statShard(cid);
        yield Buffer.from(await provider.readShard(cid, 0, bytes));
      }
    }
  }

  it('shows nobody a byte of an object, nor how anything is called', async () => {
    const planted = (bytes: number): Buffer => Buffer.alloc(bytes, 'planted-content ');
    const attributes = {
      headers: { contentType: 'planted/type' },
      userMetadata: { note: 'planted-metadata' },
      tags: { team: 'planted-tag' },
      storageClass: 'STANDARD',
    };
    for (const bytes of [40, 4 * KiB, 100 * KiB, 300 * KiB, 2 * MiB]) {
      await put(test, `planted-key ${bytes}`, planted(bytes), { attributes });
      await put(test, `planted-key ${bytes} unsized`, planted(bytes), { attributes, isUnsized: true });
    }
    const { uploads } = test.engine;
    const { uploadId } = await uploads.create({ bucket: bucketName, key: 'planted-upload', ownerId, attributes });
    const payload = payloadOf(planted(70 * KiB));
    await uploads.putPart({ bucket: bucketName, key: 'planted-upload', uploadId, partNumber: 1, payload }, never);
    let shards = 0;
    for await (const shard of allShards()) {
      shards += 1;
      for (const secret of ['planted', uploadId, ownerId]) {
        assert.ok(!shard.includes(secret), `${secret} can be read`);
        // As base64 or hex would have it.
        assert.ok(!shard.includes(Buffer.from(secret).toString('base64').slice(0, 8)));
        assert.ok(!shard.includes(Buffer.from(secret).toString('hex')));
      }
    }
    assert.ok(shards > 40);
  });

  it('is never twice the same, though the bytes are', async () => {
    const bytes = patternBytes(50 * KiB);
    await put(test, 'one', bytes);
    await put(test, 'other', bytes);
    const [one, other] = [await stripesOf(test, 'one'), await stripesOf(test, 'other')];
    const cids = new Set([...one, ...other].flatMap((stripe) => stripe.shards.map((shard) => shard.cid)));
    assert.equal(cids.size, 6);
    const data = await Promise.all([one, other].map(([stripe]) => readData(test, stripe!, 0, 50 * KiB)));
    for (let at = 0; at < 50 * KiB; at += 64) {
      assert.ok(!data[0]!.subarray(at, at + 64).equals(data[1]!.subarray(at, at + 64)), `at ${at}`);
    }
  });

  it('tells who has the master key, and nobody else, what ends in a stripe', async () => {
    await put(test, 'named', patternBytes(5000));
    await put(test, 'long', patternBytes(MiB), { isUnsized: true });
    for (const key of ['named', 'long']) {
      const [stripe] = (await stripesOf(test, key)) as [Stripe];
      const sealed = await readData(test, stripe, stripe.dataBytes - stripe.manifestBytes, stripe.manifestBytes);
      const [entry, ...others] = openManifest(masterKey, stripe.id, sealed) ?? [];
      assert.equal(others.length, 0);
      const { version } = await test.engine.objects.open({ bucket: bucketName, key });
      assert.ok(entry?.kind === 'version');
      assert.deepEqual([entry.bucket, entry.key, entry.ownerId], [bucketName, key, ownerId]);
      const { sizeBytes, etag, spans } = version;
      assert.deepEqual(entry.content, { sizeBytes, etag, spans });
      assert.equal(entry.modifiedAtMs, version.modifiedAtMs);
      assert.equal(openManifest(new MasterKey(Buffer.alloc(32, 'another')), stripe.id, sealed), undefined);
    }
  });
});

/** `length` bytes of a stripe's data from `offset`, as its data shards hold them. */
async function readData(test: TestEngine, stripe: Stripe, offset: number, length: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for (let at = offset; at < offset + length; ) {
    const block = Math.floor(at / stripe.blockBytes);
    const taken = Math.min((block + 1) * stripe.blockBytes, offset + length) - at;
    const shard = stripe.shards.find(({ index }) => index === block % stripe.k)!;
    const provider = test.providers.find(({ id }) => id === shard.providerId)!;
    const start = shardBlockOffset(stripe, Math.floor(block / stripe.k)) + (at % stripe.blockBytes);
    pieces.push(await provider.readShard(shard.cid, start, taken));
    at += taken;
  }
  return Buffer.concat(pieces);
}

/**
 * Writes a stripe of one row anew with a bit of its data turned over, and all that vouches for shards right: digests,
 * names, parity, and the metadata. Only a package's tag can tell.
 */
async function forgeStripe(test: TestEngine, stripe: Stripe, offset: number): Promise<void> {
  const codedBytes = storedBlockBytes(stripe, 0, 0);
  const blocks = Array.from({ length: stripe.k + stripe.m }, () => new Uint8Array(codedBytes));
  for (const { index, cid, providerId } of stripe.shards) {
    const provider = test.providers.find(({ id }) => id === providerId)!;
    blocks[index]!.set(await provider.readShard(cid, 64, storedBlockBytes(stripe, index, 0)));
  }
  const block = blocks[Math.floor(offset / stripe.blockBytes)]!;
  block[offset % stripe.blockBytes]! ^= 1;
  codec.encode(blocks.slice(0, stripe.k), blocks.slice(stripe.k));
  for (const { index, providerId } of stripe.shards) {
    const identity = { ...stripe, stripeId: stripe.id, index };
    const stored = blocks[index]!.subarray(0, storedBlockBytes(stripe, index, 0));
    const header = encodeShardHeader(identity);
    const footer = encodeShardFooter(identity, stripe, [digestBlock(stored)]);
    const cid = shardCid(header, footer);
    const provider = test.providers.find(({ id }) => id === providerId)!;
    await provider.putShard(cid, [header, stored, footer]);
    await test.metadata.recordShard(stripe.id, { index, providerId, cid });
  }
}

describe('a package that was changed, with everything else made to fit', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine();
  });
  afterEach(() => test.close());

  it('never leaves, in a small object', async () => {
    await put(test, 'key', patternBytes(5000));
    const [stripe] = (await stripesOf(test, 'key')) as [Stripe];
    await forgeStripe(test, stripe, 1234);
    assert.equal(await verifyShards(test, 'key'), storedShardCount(stripe), 'the shards look right');
    await assert.rejects(get(test, 'key'), failure('package-corrupt', { stripeId: stripe.id }));
    await assert.rejects(get(test, 'key', { range: { kind: 'from', first: 0, last: 0 } }), failure('package-corrupt'));
  });

  it('never leaves, in a large one, of which what comes before it does', async () => {
    const bytes = patternBytes(600 * KiB);
    await put(test, 'key', bytes);
    const [stripe] = (await stripesOf(test, 'key')) as [Stripe];
    await forgeStripe(test, stripe, 5 * sealedPackageBytes + 17);
    assert.equal(await verifyShards(test, 'key'), 6);
    const object = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const got: Uint8Array[] = [];
    const reading = async (): Promise<void> => {
      for await (const chunk of object.read(never)) got.push(Uint8Array.from(chunk));
    };
    await assert.rejects(reading(), failure('package-corrupt'));
    const before = bytes.subarray(0, 5 * packageBytes);
    assert.ok(Buffer.concat(got).equals(before), 'the five packages before it');
    // Others can be read all the same.
    const range = { kind: 'from', first: 6 * packageBytes, last: 7 * packageBytes } as const;
    assert.ok((await get(test, 'key', { range })).equals(bytes.subarray(range.first, range.last + 1)));
  });
});

describe('spans that do not belong together', () => {
  let test: TestEngine;
  beforeEach(async () => {
    test = await createTestEngine();
  });
  afterEach(() => test.close());

  /** Reads the object as the store would describe it had somebody changed its one span. */
  async function getChanged(key: string, change: (span: SealedSpan) => Partial<SealedSpan>): Promise<Buffer> {
    const { metadata } = test;
    const findVersion = metadata.findVersion.bind(metadata);
    metadata.findVersion = async (...query) => {
      const version = await findVersion(...query);
      if (version?.kind !== 'object') return version;
      const spans = version.spans.map((span) => ({ ...span, ...change(span) }));
      return { ...version, spans, sizeBytes: spans.reduce((sum, { length }) => sum + length, 0) };
    };
    try {
      const object = await test.engine.objects.open({ bucket: bucketName, key });
      return await collect(object.read(never));
    } finally {
      metadata.findVersion = findVersion;
    }
  }

  for (const sizeBytes of [5000, 200 * KiB]) {
    it(`do not open: the bytes or the key of another object of ${sizeBytes} bytes`, async () => {
      await put(test, 'one', patternBytes(sizeBytes, 'one'));
      await put(test, 'other', patternBytes(sizeBytes, 'other'));
      const other = await test.engine.objects.open({ bucket: bucketName, key: 'other' });
      const [{ extents, wrappedKey }] = other.version.spans as [SealedSpan];
      assert.ok((await getChanged('one', () => ({}))).equals(patternBytes(sizeBytes, 'one')));
      await assert.rejects(
        getChanged('one', () => ({ extents })),
        failure('package-corrupt'),
      );
      await assert.rejects(
        getChanged('one', () => ({ wrappedKey })),
        failure('package-corrupt'),
      );
      const broken = wrappedKey.map((byte, at) => (at === 7 ? byte ^ 1 : byte));
      await assert.rejects(
        getChanged('one', () => ({ wrappedKey: broken })),
        failure('package-corrupt'),
      );
    });
  }

  it('do not open: packages in another order, left out, or cut off at the end', async () => {
    const bytes = patternBytes(3 * packageBytes);
    await put(test, 'key', bytes);
    const { version } = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    const [extent] = extentsOf(version);
    assert.ok(extent);
    const piece = (index: number) => ({
      stripeId: extent.stripeId,
      offset: extent.offset + index * sealedPackageBytes,
      length: sealedPackageBytes,
    });
    const cases: Partial<SealedSpan>[] = [
      { extents: [piece(1), piece(0), piece(2)] },
      { extents: [piece(0), piece(0), piece(2)] },
      { extents: [piece(0), piece(2)] },
      { extents: [piece(0), piece(1)] },
      // As if the stream had ended after two packages.
      { extents: [piece(0), piece(1)], streamBytes: 2 * packageBytes, length: 2 * packageBytes },
      { extents: [piece(0), piece(1), piece(2), piece(2)] },
    ];
    for (const change of cases) {
      await assert.rejects(
        getChanged('key', () => change),
        failure('package-corrupt'),
        JSON.stringify(change),
      );
    }
    assert.ok((await getChanged('key', () => ({ extents: [piece(0), piece(1), piece(2)] }))).equals(bytes));
  });

  it('do not open under another master key', async () => {
    await put(test, 'key', patternBytes(5000), { attributes: plainAttributes });
    const wrong = new MasterKey(Buffer.alloc(32, 'another'));
    const { version } = await test.engine.objects.open({ bucket: bucketName, key: 'key' });
    assert.equal(wrong.unwrap(version.spans[0]!.wrappedKey), undefined);
  });
});
