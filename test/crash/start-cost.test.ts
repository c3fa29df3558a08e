import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import { measureDiskUse } from '../harness/disk-use.ts';
import { type GatewayProcess, processKey, processRegion, startGatewayProcess } from '../harness/gateway-process.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const objectBytes = 60 * KiB;
const clients = 16;

/** What a process has read so far, of files and all else (proc(5): rchar). Linux only. */
async function readBytesRead(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/io`, 'utf8');
  return Number(/^rchar: (\d+)$/m.exec(text)?.[1]);
}

describe('a start after a kill', {
  skip: process.platform !== 'linux' && 'only Linux says what a process read',
}, () => {
  let dataDir: string;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'holdfast-start-'));
  });
  after(() => rm(dataDir, { recursive: true, force: true }));

  /** Starts, tells what that read, stores so many objects more and kills. */
  async function startAndStore(from: number, to: number): Promise<number> {
    const gateway: GatewayProcess = await startGatewayProcess({ dataDir });
    const bytesRead = await readBytesRead(gateway.pid);
    const fetch = createSignedFetch(gateway.url, processKey, processRegion);
    assert.equal((await fetch('PUT', '/start')).status, 200);
    const indexes = Array.from({ length: to - from }, (_, index) => from + index);
    await forEachBounded(indexes, clients, async (index) => {
      const answer = await fetch('PUT', `/start/${index}`, { body: patternBytes(objectBytes, index) });
      assert.equal(answer.status, 200, answer.text);
    });
    await gateway.kill();
    return bytesRead;
  }

  it('reads no more than one over little data, but for a tail that is bounded', async (test) => {
    // The first one compiles and creates; from then on there is something to compare.
    await startAndStore(0, 0);
    const little = await startAndStore(0, 2600);
    const storedBytes = await measureDiskUse(join(dataDir, 'providers'));
    const much = await startAndStore(0, 0);
    test.diagnostic(
      `read ${(little / MiB).toFixed(1)} MiB, then ${(much / MiB).toFixed(1)} MiB over ${(storedBytes / MiB).toFixed(0)} MiB more`,
    );
    assert.ok(storedBytes > 200 * MiB, 'so little was stored that nothing can be seen');
    assert.ok(much - little < storedBytes / 2, `${much - little} bytes more were read at the start`);
  });
});
