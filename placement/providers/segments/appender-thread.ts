import { parentPort, workerData } from 'node:worker_threads';
import { appendBatch } from './append-batch.ts';
import { AppenderMemory, type AppenderSlot } from './appender-memory.ts';

/** Runs in threads of their own, started by `AppenderThreads`: appends what processes ask for, one batch after the other. */
const memory = new AppenderMemory(workerData as SharedArrayBuffer);
const { slots } = memory;
/** Where to look first, so that nobody's turn never comes. */
let first = 0;

function appendNext(): boolean {
  for (let step = 0; step < slots.length; step++) {
    const index = (first + step) % slots.length;
    const slot = slots[index]!;
    if (!slot.isAsked) continue;
    const claimed = slot.claim();
    if (claimed === undefined) continue;
    first = index + 1;
    wakeOthers();
    append(slot, claimed);
    memory.tellDone();
    return true;
  }
  return false;
}

/** Each thread wakes up to two more where there is work for them, which the process then need not do. */
function wakeOthers(): void {
  let asked = 0;
  for (const slot of slots) if (slot.isAsked && ++asked === 2) break;
  if (asked > 0) memory.wake(asked);
}

function append(slot: AppenderSlot, { batch, markerPath }: NonNullable<ReturnType<AppenderSlot['claim']>>): void {
  try {
    appendBatch(batch, markerPath);
    slot.succeed();
  } catch (error) {
    const { message, code, errno, syscall } = error as NodeJS.ErrnoException;
    slot.fail({ message, code, errno, syscall });
  }
}

parentPort?.postMessage('ready');
while (!memory.isStopping) {
  const mark = memory.workMark;
  if (!appendNext()) memory.waitForWork(mark);
}
