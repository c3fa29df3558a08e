import type { ShardCid } from '../../../core/model.ts';
import type { AnswerSink } from './answer-sink.ts';
import {
  type BatchCallKind,
  type BatchOutcome,
  callHeaderBytes,
  ResultReader,
  writeCallHeader,
} from './batch-frames.ts';
import { CallSlots } from './call-slots.ts';
import type { NodeConnection } from './node-connection.ts';
import { batchPath, maxBatchBytes, maxBatchCalls, maxBatchReadBytes } from './node-protocol.ts';

/** A small call, as it goes into a batch. */
export interface SmallCall {
  readonly kind: BatchCallKind;
  readonly cid: ShardCid;
  readonly digest: Uint8Array;
  /** Of a read; else 0. */
  readonly offset: number;
  /** Bytes that are put, or wanted by a read; else 0. */
  readonly length: number;
  /** What is put; else empty. */
  readonly buffers: readonly Uint8Array[];
  /** How many bytes success gives. */
  readonly resultBytes: number;
}

/** The node answered the call, and not with success. */
export class CallRefusal extends Error {
  readonly outcome: Exclude<BatchOutcome, 'ok'>;

  constructor(outcome: Exclude<BatchOutcome, 'ok'>, reason: Buffer) {
    super(`the node answered ${outcome}: ${reason.toString('latin1').replace(/[^\x20-\x7e]/g, '?')}`);
    this.name = 'CallRefusal';
    this.outcome = outcome;
  }
}

/**
 * Gathers small calls into batches: those that come together travel together, and while `width` batches are on their
 * way what comes is gathered for the next. No timer: a call that comes alone is sent at the end of the turn.
 *
 * The node answers each call of a batch when it is done, so that a slow one holds up no other.
 */
export class CallBatcher {
  readonly #connection: NodeConnection;
  readonly #slots: CallSlots;
  readonly #waiting = new Set<PendingCall>();
  #isScheduled = false;

  constructor(parts: { connection: NodeConnection; width: number }) {
    this.#connection = parts.connection;
    this.#slots = new CallSlots(parts.width);
  }

  /**
   * The bytes of the result belong to the caller.
   *
   * @throws CallRefusal, the signal's reason, or whatever `NodeConnection` throws
   */
  call(call: SmallCall, signal: AbortSignal | undefined): Promise<Buffer> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const pending = new PendingCall(call, signal, () => this.#waiting.delete(pending));
    this.#waiting.add(pending);
    this.#schedule();
    return pending.promise;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#sendAll();
    });
  }

  #sendAll(): void {
    while (this.#waiting.size > 0 && this.#slots.tryTake()) {
      const batch = new CallBatch(this.#takeCalls());
      void batch.send(this.#connection, () => {
        this.#slots.give();
        if (this.#waiting.size > 0) this.#schedule();
      });
    }
  }

  #takeCalls(): PendingCall[] {
    const taken: PendingCall[] = [];
    let bodyBytes = 0;
    let resultBytes = 0;
    for (const pending of this.#waiting) {
      const { call } = pending;
      bodyBytes += callHeaderBytes + (call.kind === 'put' ? call.length : 0);
      resultBytes += call.resultBytes;
      if (taken.length > 0 && (bodyBytes > maxBatchBytes || resultBytes > maxBatchReadBytes)) break;
      taken.push(pending);
      this.#waiting.delete(pending);
      if (taken.length === maxBatchCalls) break;
    }
    return taken;
  }
}

class PendingCall {
  readonly call: SmallCall;
  readonly promise: Promise<Buffer>;
  readonly #resolve: (bytes: Buffer) => void;
  readonly #reject: (error: unknown) => void;
  readonly #signal: AbortSignal | undefined;
  /** Called when the caller gives up. */
  onGivenUp: () => void;
  isSettled = false;

  constructor(call: SmallCall, signal: AbortSignal | undefined, onGivenUp: () => void) {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    this.call = call;
    this.promise = promise;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    this.onGivenUp = onGivenUp;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  resolve(bytes: Buffer): void {
    this.#settle();
    this.#resolve(bytes);
  }

  reject(error: unknown): void {
    if (this.isSettled) return;
    this.#settle();
    this.#reject(error);
  }

  readonly #onAbort = (): void => {
    this.reject(this.#signal?.reason);
    this.onGivenUp();
  };

  #settle(): void {
    this.isSettled = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}

/** Calls that travel in one request. A caller that gives up leaves the others alone; when all have, the request is given up. */
class CallBatch implements AnswerSink<void> {
  readonly #calls: readonly PendingCall[];
  readonly #isAnswered: boolean[];
  readonly #reader = new ResultReader({
    expectedBytes: (index) => (this.#isAnswered[index] === false ? this.#calls[index]?.call.resultBytes : undefined),
    receive: (index, outcome, bytes) => this.#receive(index, outcome, bytes),
  });
  readonly #givenUp = new AbortController();
  #wantedCount: number;
  #answeredCount = 0;

  constructor(calls: readonly PendingCall[]) {
    this.#calls = calls;
    this.#isAnswered = calls.map(() => false);
    this.#wantedCount = calls.length;
    for (const pending of calls) {
      pending.onGivenUp = () => {
        this.#wantedCount--;
        if (this.#wantedCount === 0) this.#givenUp.abort();
      };
    }
  }

  /** Never throws: errors go to the calls. */
  async send(connection: NodeConnection, onOver: () => void): Promise<void> {
    try {
      const request = { method: 'POST', target: batchPath, body: [this.#encode()], sink: this } as const;
      await connection.sendAtOnce(request, this.#givenUp.signal, onOver);
    } catch (error) {
      for (const pending of this.#calls) pending.reject(error);
    }
  }

  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }

  end(): void {
    if (!this.#reader.isBetweenResults || this.#answeredCount < this.#calls.length) {
      throw new RangeError(`the answer ended after ${this.#answeredCount} of ${this.#calls.length} results`);
    }
  }

  #receive(index: number, outcome: BatchOutcome, bytes: Buffer): void {
    const pending = this.#calls[index]!;
    this.#isAnswered[index] = true;
    this.#answeredCount++;
    if (pending.isSettled) return;
    this.#wantedCount--;
    if (outcome === 'ok') pending.resolve(bytes);
    else pending.reject(new CallRefusal(outcome, bytes));
    // What is still to come was given up by whoever wanted it.
    if (this.#wantedCount === 0 && this.#answeredCount < this.#calls.length) this.#givenUp.abort();
  }

  #encode(): Buffer {
    let bytes = 0;
    for (const { call } of this.#calls) bytes += callHeaderBytes + (call.kind === 'put' ? call.length : 0);
    const body = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (const { call } of this.#calls) {
      writeCallHeader(body, at, call);
      at += callHeaderBytes;
      for (const buffer of call.buffers) {
        body.set(buffer, at);
        at += buffer.length;
      }
    }
    return body;
  }
}
