import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NodeMetrics } from '../core/node-metrics.ts';
import {
  type BatchCall,
  encodeResultHeader,
  encodeStat,
  maxReasonBytes,
} from '../placement/providers/node/batch-frames.ts';
import type { Provider } from '../placement/providers/provider.ts';
import { outcomeOf, reasonOf } from './node-fault.ts';

const noBytes = new Uint8Array(0);

/**
 * Runs the calls of a batch at once and gives their results as they come, each as a header and its bytes. Results that
 * come in one turn of the event loop are given together.
 */
export async function* runCalls(
  calls: readonly BatchCall[],
  parts: { provider: Provider; metrics: NodeMetrics; signal: AbortSignal },
): AsyncGenerator<readonly Uint8Array[]> {
  let ready: Uint8Array[] = [];
  let openCount = calls.length;
  let wake: () => void = () => {};
  const finish = (index: number, result: readonly Uint8Array[]): void => {
    ready.push(...result);
    openCount--;
    if (index >= 0) wake();
  };
  calls.forEach((call, index) => void runCall(call, index, parts).then((result) => finish(index, result)));
  while (openCount > 0 || ready.length > 0) {
    if (ready.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (openCount > 0) await nextTurn();
    const results = ready;
    ready = [];
    yield results;
  }
}

/** Never throws: what fails is a result too. */
async function runCall(
  call: BatchCall,
  index: number,
  parts: { provider: Provider; metrics: NodeMetrics; signal: AbortSignal },
): Promise<readonly Uint8Array[]> {
  try {
    const bytes = await answerCall(call, parts.provider, parts.signal);
    parts.metrics.countCall(call.kind, 'ok');
    return [encodeResultHeader(index, 'ok', bytes.length), bytes];
  } catch (error) {
    const outcome = outcomeOf(error);
    parts.metrics.countCall(call.kind, parts.signal.aborted ? 'aborted' : outcome);
    const reason = outcome === 'provider-error' ? Buffer.from(reasonOf(error)).subarray(0, maxReasonBytes) : noBytes;
    return [encodeResultHeader(index, outcome, reason.length), reason];
  }
}

async function answerCall(call: BatchCall, provider: Provider, signal: AbortSignal): Promise<Uint8Array> {
  switch (call.kind) {
    case 'put':
      await provider.putShard(call.cid, [call.bytes], signal);
      return noBytes;
    case 'read':
      return provider.readShard(call.cid, call.offset, call.length, signal);
    case 'stat':
      return encodeStat(await provider.statShard(call.cid, signal));
    case 'delete':
      await provider.deleteShard(call.cid, signal);
      return noBytes;
  }
}
