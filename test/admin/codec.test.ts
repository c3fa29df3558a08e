import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { startGateway } from '../harness/gateway.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { readMetric } from '../harness/read-metric.ts';

describe('the erasure codec of a gateway', () => {
  it('is that of the kernels, with 256 bits where the configuration asks for it', async () => {
    const cases = [
      [{}, 'wasm-simd'],
      [{ codec: { revectorize: true } }, 'wasm-simd-256'],
    ] as const;
    for (const [config, name] of cases) {
      const gateway = await startGateway({ config });
      assert.equal(await readMetric(gateway.adminUrl, 'holdfast_codec_info', `codec="${name}"`), 1);
      const bytes = patternBytes(3 * 2 ** 20 + 77);
      const place = { Bucket: 'coded', Key: 'key' };
      await gateway.client.send(new CreateBucketCommand({ Bucket: place.Bucket }));
      await gateway.client.send(new PutObjectCommand({ ...place, Body: bytes }));
      const { Body } = await gateway.client.send(new GetObjectCommand(place));
      assert.ok(Buffer.from(await Body!.transformToByteArray()).equals(bytes));
      await gateway.close();
    }
  });
});
