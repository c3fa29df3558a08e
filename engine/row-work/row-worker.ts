import { parentPort } from 'node:worker_threads';
import { selfTestCodec } from '../../erasure/codec-self-test.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { createPackageCodec } from '../../erasure/package-codec.ts';
import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import { codeRow, type RowJob } from './code-row.ts';
import type { RowAnswer } from './row-threads.ts';

/** The thread of `RowThreads`: one row after the other, each in memory that is shared. */

const fallback = await createPackageCodec();
const codecs = new Map<string, ErasureCodec>();

/** The fast codec where it gives the right bytes for such rows, else the one that it is compared with. */
function codecFor(k: number, m: number): ErasureCodec {
  const name = `${k}+${m}`;
  let codec = codecs.get(name);
  if (codec === undefined) {
    try {
      codec = createWasmCodec();
      selfTestCodec(codec, { k, m });
    } catch {
      codec = fallback;
    }
    codecs.set(name, codec);
  }
  return codec;
}

parentPort?.on('message', (job: RowJob) => {
  let answer: RowAnswer;
  try {
    answer = { digests: codeRow(codecFor(job.k, job.m), job) };
  } catch (error) {
    answer = { error };
  }
  parentPort?.postMessage(answer);
});
parentPort?.postMessage({ isReady: true } satisfies RowAnswer);
