import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Checksum, Extent, ObjectAttributes, StripeId } from '../../core/model.ts';
import { MasterKey, wrappedKeyBytes } from '../../crypto/master-key.ts';
import { sealedRecordOverheadBytes } from '../../crypto/sealed-record.ts';
import {
  boundManifest,
  contentOf,
  EntryText,
  encodeManifest,
  joinManifest,
  type ManifestEntry,
  openManifest,
  sealManifest,
  withContent,
} from '../../engine/manifest.ts';

const masterKey = new MasterKey(new Uint8Array(32).fill(7));
const stripeId = '0193a1b2c3d4e5f60718293a4b5c6d7e' as StripeId;
const otherId = '0193a1b2c3d4e5f60718293a4b5c6d7f' as StripeId;

const anyText = fc.string({ unit: 'grapheme', maxLength: 40 });
const anyId = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex'));
const anyExtent: fc.Arbitrary<Extent> = fc.record({
  stripeId: anyId.map((id) => id as StripeId),
  offset: fc.nat(2 ** 30),
  length: fc.integer({ min: 1, max: 2 ** 30 }),
});
const anySpan = fc.record({
  wrappedKey: fc.uint8Array({ minLength: wrappedKeyBytes, maxLength: wrappedKeyBytes }),
  streamBytes: fc.maxSafeNat(),
  offset: fc.maxSafeNat(),
  length: fc.maxSafeNat(),
  extents: fc.array(anyExtent, { maxLength: 5 }),
});
const anyDigest = fc.uint8Array({ minLength: 4, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('base64'));
/** The longest is the SHA-256 of the SHA-256s of 10,000 parts. */
const anyChecksum: fc.Arbitrary<Checksum> = fc.oneof(
  fc.record({
    algorithm: fc.constantFrom('CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'),
    type: fc.constant('FULL_OBJECT'),
    value: anyDigest,
  }),
  fc.record({
    algorithm: fc.constantFrom('CRC32', 'CRC32C', 'SHA1', 'SHA256'),
    type: fc.constant('COMPOSITE'),
    value: fc.tuple(anyDigest, fc.integer({ min: 1, max: 10_000 })).map(([digest, count]) => `${digest}-${count}`),
  }),
);
const anyContent = fc
  .record({
    sizeBytes: fc.maxSafeNat(),
    etag: fc.stringMatching(/^[0-9a-f]{32}(-[1-9][0-9]{0,3})?$/),
    checksum: fc.option(anyChecksum, { nil: undefined }),
    spans: fc.array(anySpan, { maxLength: 4 }),
  })
  .map(({ checksum, ...content }) => ({ ...content, ...(checksum && { checksum }) }));
const anyNames = fc.dictionary(fc.stringMatching(/^[a-z-]{1,20}$/), anyText, { maxKeys: 5, noNullPrototype: true });
const anyAttributes: fc.Arbitrary<ObjectAttributes> = fc.record({
  headers: fc.record({ contentType: anyText, expires: anyText }, { requiredKeys: [] }),
  userMetadata: anyNames,
  tags: anyNames,
  storageClass: fc.constantFrom('STANDARD', 'STANDARD_IA'),
});
const target = { number: fc.maxSafeNat(), bucketId: fc.nat(), bucket: anyText, key: anyText };
const modifiedAtMs = fc.nat(2 ** 31).map((seconds) => seconds * 1000);
const anyEntry: fc.Arbitrary<ManifestEntry> = fc
  .oneof(
    fc
      .record(
        {
          kind: fc.constant('version' as const),
          ...target,
          ownerId: fc.stringMatching(/^[0-9a-f]{64}$/),
          modifiedAtMs,
          content: anyContent,
          attributes: anyAttributes,
          parts: fc.array(fc.record({ partNumber: fc.nat(10_000), sizeBytes: fc.nat() }), {
            minLength: 1,
            maxLength: 4,
          }),
          condition: fc.constantFrom({ kind: 'absent' } as const, { kind: 'etag', etag: '*' } as const),
        },
        {
          requiredKeys: [
            'kind',
            'number',
            'bucketId',
            'bucket',
            'key',
            'ownerId',
            'modifiedAtMs',
            'content',
            'attributes',
          ],
        },
      )
      .map((entry) => entry as ManifestEntry),
    fc
      .record({
        kind: fc.constant('part' as const),
        ...target,
        uploadId: fc.stringMatching(/^[\w-]{64}$/),
        part: fc.tuple(anyContent, fc.integer({ min: 1, max: 10_000 }), modifiedAtMs),
      })
      .map(({ part: [content, partNumber, modified], ...entry }) => ({
        ...entry,
        part: { ...content, partNumber, modifiedAtMs: modified },
      })),
  )
  // As plain objects.
  .map((entry) => structuredClone(entry));

function seal(entries: readonly ManifestEntry[], minBytes?: number): Uint8Array {
  return sealManifest(masterKey, stripeId, encodeManifest(entries, minBytes));
}

describe('the manifest of a stripe', () => {
  it('says what it was told', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { maxLength: 4 }), (entries) => {
        assert.deepEqual(openManifest(masterKey, stripeId, seal(entries)), entries);
      }),
    );
  });

  it('says the same when it is padded, and is then as long as it was to be', () => {
    fc.assert(
      fc.property(fc.array(anyEntry, { minLength: 1, maxLength: 3 }), fc.nat(5000), (entries, minBytes) => {
        const plainBytes = encodeManifest(entries).length;
        const sealed = seal(entries, minBytes);
        assert.equal(sealed.length, Math.max(plainBytes, minBytes) + sealedRecordOverheadBytes);
        assert.deepEqual(openManifest(masterKey, stripeId, sealed), entries);
      }),
    );
  });

  it('opens for its own stripe and under its own master key only', () => {
    const [entry] = fc.sample(anyEntry, { numRuns: 1, seed: 1 });
    const sealed = seal([entry!]);
    assert.equal(openManifest(masterKey, otherId, sealed), undefined);
    assert.equal(openManifest(new MasterKey(new Uint8Array(32).fill(8)), stripeId, sealed), undefined);
  });

  it('does not open when a bit of it was changed, or when it was cut', () => {
    const [entry] = fc.sample(anyEntry, { numRuns: 1, seed: 2 });
    const sealed = seal([entry!], 300);
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed);
      changed[at] = changed[at]! ^ 0x10;
      assert.equal(openManifest(masterKey, stripeId, changed), undefined, `byte ${at}`);
    }
    for (const length of [0, 1, sealedRecordOverheadBytes, sealed.length - 1]) {
      assert.equal(openManifest(masterKey, stripeId, sealed.subarray(0, length)), undefined);
    }
  });

  it('does not open where a newer version of it was written', () => {
    const plain = Buffer.from(JSON.stringify([2, ['who knows']]));
    assert.equal(openManifest(masterKey, stripeId, sealManifest(masterKey, stripeId, plain)), undefined);
  });

  it('tells nobody who has no key a name', () => {
    const [entry] = fc.sample(anyEntry, { numRuns: 1, seed: 3 });
    const sealed = Buffer.from(seal([{ ...entry!, bucket: 'planted-bucket', key: 'planted-key' }]));
    assert.ok(!sealed.includes('planted'));
  });

  it('is the same where the text of its entries was made before their place was known', () => {
    fc.assert(
      fc.property(anyEntry, anyEntry, (one, other) => {
        const texts = [one, other].map((entry) => {
          const text = new EntryText(withContent(entry, { ...contentOf(entry), spans: [] }));
          return text.in(contentOf(entry).spans);
        });
        assert.deepEqual(openManifest(masterKey, stripeId, sealManifest(masterKey, stripeId, joinManifest(texts))), [
          one,
          other,
        ]);
      }),
    );
  });

  it('of one span and extent is never longer than its text was bound to be', () => {
    fc.assert(
      fc.property(anyEntry, anyExtent, (entry, extent) => {
        const [span] = contentOf(entry).spans;
        if (span === undefined) return;
        const text = new EntryText(entry);
        assert.ok(Buffer.byteLength(text.in([{ ...span, extents: [extent] }])) <= text.boundBytes);
      }),
      { numRuns: 300 },
    );
  });

  it('is never longer than was said before its digests and its place were known', () => {
    fc.assert(
      fc.property(anyEntry, fc.array(anyExtent, { maxLength: 20 }), (entry, extents) => {
        const content = contentOf(entry);
        // One stream, as a write makes it, with what is not known yet left open.
        const [span] = content.spans;
        const open = { ...content, etag: content.etag.replace(/^.{32}/, 'f'.repeat(32)), spans: [] };
        const { checksum: _, ...blank } = open;
        const before = withContent(entry, { ...blank, spans: span ? [{ ...span, extents: [] }] : [] });
        const after = withContent(entry, { ...content, spans: span ? [{ ...span, extents }] : [] });
        const bound = boundManifest(before, extents.length);
        assert.ok(encodeManifest([after]).length <= bound, `${encodeManifest([after]).length} > ${bound}`);
      }),
      { numRuns: 300 },
    );
  });
});
