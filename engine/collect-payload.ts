import { untilAborted } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { Payload } from '../core/payload.ts';

/**
 * All bytes of a payload whose length is declared. They belong to the caller, as long as nobody asks the payload for more.
 *
 * @throws Failure `body-incomplete`; whatever the payload throws; the signal's reason
 */
export async function collectPayload(payload: Payload, sizeBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  if (payload.readAll !== undefined) {
    const read = await payload.readAll();
    if (read.length !== sizeBytes) throw new RangeError('a payload does not have its length');
    return read;
  }
  let receivedBytes = 0;
  const whole = new Uint8Array(sizeBytes);
  for await (const chunk of untilAborted(payload.bytes, signal)) {
    if (receivedBytes + chunk.length > sizeBytes) throw new RangeError('a payload outgrew its length');
    whole.set(chunk, receivedBytes);
    receivedBytes += chunk.length;
  }
  if (receivedBytes < sizeBytes) throw new Failure('body-incomplete', { declaredBytes: sizeBytes, receivedBytes });
  return whole;
}
