import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { selfTestCodec } from '../../erasure/codec-self-test.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import { createReferenceCodec } from '../../erasure/reference-codec.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';

const profiles = [
  { k: 4, m: 2 },
  { k: 1, m: 2 },
  { k: 10, m: 4 },
  { k: 3, m: 0 },
];

describe('codec self-test', () => {
  it('passes good codecs', async () => {
    for (const codec of [createReferenceCodec(), await createPackageCodec(), createWasmCodec()]) {
      for (const profile of profiles) selfTestCodec(codec, profile);
    }
  });

  it('stops a codec with another matrix', () => {
    const reference = createReferenceCodec();
    const swapped: ErasureCodec = {
      ...reference,
      encode: (data, parity) => reference.encode(data, parity.toReversed()),
    };
    assert.throws(() => selfTestCodec(swapped, { k: 4, m: 2 }), /wrong bytes for parity 0/);
  });

  it('stops a codec that forgets the tail of a shard', () => {
    const reference = createReferenceCodec();
    const careless: ErasureCodec = {
      ...reference,
      encode: (data, parity) => {
        reference.encode(data, parity);
        for (const shard of parity) shard.fill(0, shard.length & ~15);
      },
    };
    assert.throws(() => selfTestCodec(careless, { k: 4, m: 2 }), /self-test/);
  });

  it('stops a codec that writes past the shards in its slots', () => {
    const reference = createReferenceCodec();
    const sprawling: ErasureCodec = {
      ...reference,
      encode: (data, parity) => {
        reference.encode(data, parity);
        for (const { buffer, byteOffset, length } of parity) {
          const past = byteOffset + length + 30;
          if (past < buffer.byteLength) new Uint8Array(buffer)[past] = 0;
        }
      },
    };
    assert.throws(() => selfTestCodec(sprawling, { k: 4, m: 2 }), /shard 4 in its slot/);
  });

  it('stops a codec that rebuilds one shard wrongly', () => {
    const reference = createReferenceCodec();
    const wrong: ErasureCodec = {
      ...reference,
      reconstruct: (shards, k, wanted) =>
        reference.reconstruct(shards, k, wanted).map((shard, i) => (wanted[i] === 5 ? shard.map((b) => b ^ 1) : shard)),
    };
    assert.throws(() => selfTestCodec(wrong, { k: 4, m: 2 }), /wrong bytes for shard 5/);
  });
});
