import { parentPort, workerData } from 'node:worker_threads';
import { silentLog } from '../../core/log.ts';
import { createMd5Batch } from '../../crypto/md5/create-md5-lanes.ts';
import { Sealer, type SealerKeys } from '../../crypto/sealer.ts';
import { chooseCodec, listCodecs } from '../../erasure/choose-codec.ts';
import type { ErasureCodec } from '../../erasure/erasure-codec.ts';
import { codePack, type PackTools } from './code-pack.ts';
import { codeRow } from './code-row.ts';
import { openRun } from './open-run.ts';
import type { RowAnswer, RowTask, RowWorkerData } from './row-threads.ts';
import { runThrough } from './run-through.ts';

/** The thread of `RowThreads`: one task after the other. */

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

/** Kernels are compiled before the thread says that it is there, so that no pack waits for that. */
const sealing = createSealing((workerData as RowWorkerData | undefined)?.sealerKeys);

function createSealing(sealerKeys: SealerKeys | undefined): Omit<PackTools, 'codec'> | undefined {
  // That kernels fail, which the process has warned of at its start, is no news.
  return sealerKeys && { sealer: new Sealer(sealerKeys), md5: createMd5Batch({ log: silentLog }) };
}

/** What came of a task, and the memory that goes with it. */
async function perform(task: RowTask): Promise<{ answer: RowAnswer; given: ArrayBuffer[] }> {
  try {
    if ('code' in task) {
      return { answer: { result: codeRow(await codecFor(task.code.k, task.code.m), task.code) }, given: [] };
    }
    if ('pack' in task) {
      if (sealing === undefined) throw new Error('this thread has no keys to seal with');
      const tools = { ...sealing, codec: await codecFor(task.pack.k, task.pack.m) };
      return { answer: { result: runThrough(codePack(tools, task.pack)) }, given: [] };
    }
    const result = openRun(task.open);
    return { answer: { result }, given: [result.plain.buffer as ArrayBuffer] };
  } catch (error) {
    return { answer: { error }, given: [] };
  }
}

// Answers come in the order of tasks: one is not begun before the one before it is done.
let last: Promise<unknown> = Promise.resolve();
parentPort?.on('message', (task: RowTask) => {
  last = last.then(async () => {
    const { answer, given } = await perform(task);
    parentPort?.postMessage(answer, given);
  });
});
parentPort?.postMessage({ isReady: true } satisfies RowAnswer);
