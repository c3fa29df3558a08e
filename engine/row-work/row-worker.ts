import { parentPort } from 'node:worker_threads';
import { chooseCodec, listCodecs } from '../../erasure/choose-codec.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { codeRow, type RowJob } from './code-row.ts';
import type { RowAnswer } from './row-threads.ts';

/** The thread of `RowThreads`: one row after the other, each in memory that is shared. */

const codecs = new Map<string, Promise<ErasureCodec>>();

/** A codec that proved itself for such rows. The process says at its start which one is not used and why; here it is the same again. */
function codecFor(k: number, m: number): Promise<ErasureCodec> {
  const name = `${k}+${m}`;
  let codec = codecs.get(name);
  if (codec === undefined) {
    // Flags of V8 are the process's, so that they are not set in threads.
    codec = chooseCodec([{ k, m }], listCodecs({ isRevectorizing: false })).then((chosen) => chosen.codec);
    codecs.set(name, codec);
  }
  return codec;
}

async function answer(job: RowJob): Promise<RowAnswer> {
  try {
    return { digests: codeRow(await codecFor(job.k, job.m), job) };
  } catch (error) {
    return { error };
  }
}

// Answers come in the order of jobs: one is not begun before the one before it is done.
let last: Promise<unknown> = Promise.resolve();
parentPort?.on('message', (job: RowJob) => {
  last = last.then(async () => parentPort?.postMessage(await answer(job)));
});
parentPort?.postMessage({ isReady: true } satisfies RowAnswer);
