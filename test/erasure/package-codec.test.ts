import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import { testErasureCodec } from './codec-conformance.ts';

testErasureCodec('wasm-package', createPackageCodec);

it('wasm-package keeps to its memory however lengths vary', async () => {
  const codec = await createPackageCodec();
  const run = new Uint8Array(6 * 65536);
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 1000; round++) {
    const shardBytes = 1 + ((round * 7919) % 65536);
    const shards = Array.from({ length: 6 }, (_, i) => run.subarray(i * shardBytes, (i + 1) * shardBytes));
    codec.reconstruct([undefined, ...shards.slice(1, 5), undefined], 4, [0]);
  }
  const grownMiB = (process.memoryUsage.rss() - before) / 2 ** 20;
  assert.ok(grownMiB < 100, `grew by ${grownMiB} MiB`);
});
