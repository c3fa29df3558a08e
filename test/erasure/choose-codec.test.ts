import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseCodec, listCodecs } from '../../erasure/choose-codec.ts';
import { createReferenceCodec } from '../../erasure/reference-codec.ts';

const profiles = [
  { k: 4, m: 2 },
  { k: 1, m: 2 },
];
const wrong = () => ({ ...createReferenceCodec(), name: 'wrong', encode: () => undefined });
const absent = () => {
  throw new Error('no such instruction');
};

describe('the choice of a codec', () => {
  it('falls on the kernels, with 256 bits where that is asked for', async () => {
    for (const isRevectorizing of [false, true]) {
      const { codec, faults } = await chooseCodec(profiles, listCodecs({ isRevectorizing }));
      assert.equal(codec.name, isRevectorizing ? 'wasm-simd-256' : 'wasm-simd');
      assert.deepEqual(faults, []);
    }
  });

  it('passes over one that gives wrong bytes and one that does not start, and says so', async () => {
    const candidates = [
      { name: 'wrong', make: wrong },
      { name: 'absent', make: absent },
      ...listCodecs({ isRevectorizing: false }).slice(-1),
    ];
    const { codec, faults } = await chooseCodec(profiles, candidates);
    assert.equal(codec.name, 'wasm-package');
    assert.deepEqual(
      faults.map(({ codec, error }) => [codec, (error as Error).message]),
      [
        ['wrong', 'erasure codec wrong fails its self-test: wrong bytes for parity 0'],
        ['absent', 'no such instruction'],
      ],
    );
  });

  it('fails where none is right', async () => {
    await assert.rejects(chooseCodec(profiles, [{ name: 'wrong', make: wrong }]), /wrong fails its self-test/);
    await assert.rejects(chooseCodec(profiles, []), /no codec/);
  });
});
