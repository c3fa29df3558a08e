import { cidDigestBytes, cidOfDigest } from '../../../core/cid-digest.ts';
import type { ShardCid } from '../../../core/model.ts';
import { maxBatchCalls, maxBatchReadBytes, maxSmallPutBytes, maxSmallReadBytes } from './node-protocol.ts';

/**
 * The frames of a batch, byte by byte in docs/node-protocol.md: a request holds one after the other, each call with its
 * bytes; the answer holds one for each call, in the order in which they end.
 */
export const callHeaderBytes = 16 + cidDigestBytes;
export const resultHeaderBytes = 12;
/** The length of a stat's result: bytes and time of commit. */
export const statResultBytes = 16;
/** The longest text that explains a call that failed. */
export const maxReasonBytes = 512;

const callKinds = ['put', 'read', 'stat', 'delete'] as const;
export type BatchCallKind = (typeof callKinds)[number];

const outcomes = ['ok', 'shard-missing', 'provider-full', 'provider-error'] as const;
export type BatchOutcome = (typeof outcomes)[number];

export interface BatchCall {
  readonly kind: BatchCallKind;
  readonly cid: ShardCid;
  /** Of a read; else 0. */
  readonly offset: number;
  /** Bytes that are put, or wanted by a read; else 0. */
  readonly length: number;
  /** What is put; a view of the body. Empty for all others. */
  readonly bytes: Uint8Array;
}

/** Writes the header of a call at `at`; the bytes of a put follow it. */
export function writeCallHeader(
  into: Buffer,
  at: number,
  call: { kind: BatchCallKind; digest: Uint8Array; offset: number; length: number },
): void {
  into[at] = callKinds.indexOf(call.kind) + 1;
  into.fill(0, at + 1, at + 4);
  into.writeUInt32BE(call.length, at + 4);
  into.writeBigUInt64BE(BigInt(call.offset), at + 8);
  into.set(call.digest, at + 16);
}

/** @throws RangeError for what is not the body of a batch, or breaks a limit */
export function parseCalls(body: Buffer): BatchCall[] {
  const calls: BatchCall[] = [];
  let readBytes = 0;
  let at = 0;
  while (at < body.length) {
    if (calls.length === maxBatchCalls) throw new RangeError(`more than ${maxBatchCalls} calls`);
    if (body.length - at < callHeaderBytes) throw new RangeError('a call that is cut off');
    const kind = callKinds[body[at]! - 1];
    if (kind === undefined || body.readUIntBE(at + 1, 3) !== 0) throw new RangeError('a call of an unknown kind');
    const length = body.readUInt32BE(at + 4);
    const offset = Number(body.readBigUInt64BE(at + 8));
    if (!Number.isSafeInteger(offset)) throw new RangeError('an offset that is too large');
    if (kind !== 'read' && offset !== 0) throw new RangeError(`a ${kind} with an offset`);
    if ((kind === 'stat' || kind === 'delete') && length !== 0) throw new RangeError(`a ${kind} with a length`);
    if (kind === 'read') {
      readBytes += length;
      if (length > maxSmallReadBytes || readBytes > maxBatchReadBytes) throw new RangeError('reads that are too long');
    }
    if (kind === 'put' && length > maxSmallPutBytes) throw new RangeError('a put that is too long');
    const start = at + callHeaderBytes;
    const end = kind === 'put' ? start + length : start;
    if (end > body.length) throw new RangeError('a put that is cut off');
    calls.push({ kind, cid: cidOfDigest(body, at + 16), offset, length, bytes: body.subarray(start, end) });
    at = end;
  }
  return calls;
}

/** The header of one result; `length` bytes follow it. */
export function encodeResultHeader(index: number, outcome: BatchOutcome, length: number): Buffer {
  const header = Buffer.alloc(resultHeaderBytes);
  header.writeUInt32BE(index, 0);
  header[4] = outcomes.indexOf(outcome);
  header.writeUInt32BE(length, 8);
  return header;
}

export function encodeStat(stat: { bytes: number; modifiedAtMs: number }): Buffer {
  const bytes = Buffer.alloc(statResultBytes);
  bytes.writeBigUInt64BE(BigInt(stat.bytes), 0);
  bytes.writeDoubleBE(stat.modifiedAtMs, 8);
  return bytes;
}

/** @throws RangeError for figures that no shard can have */
export function decodeStat(bytes: Buffer): { bytes: number; modifiedAtMs: number } {
  const length = Number(bytes.readBigUInt64BE(0));
  const modifiedAtMs = bytes.readDoubleBE(8);
  if (!Number.isSafeInteger(length) || !(modifiedAtMs >= 0 && modifiedAtMs <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError('a stat that cannot be');
  }
  return { bytes: length, modifiedAtMs };
}

/** What the reader of an answer says and is told about each call. */
export interface ResultReceiver {
  /** How many bytes the call must give where it succeeds; undefined for a call that there is not, or was answered. */
  expectedBytes(index: number): number | undefined;
  /** @param bytes a buffer of its own, which the receiver may keep */
  receive(index: number, outcome: BatchOutcome, bytes: Buffer): void;
}

/** Takes an answer apart as it comes. It holds no more than the result that is being read, which is as long as was asked. */
export class ResultReader {
  readonly #receiver: ResultReceiver;
  readonly #header = Buffer.alloc(resultHeaderBytes);
  #headerBytes = 0;
  #index = 0;
  #outcome: BatchOutcome = 'ok';
  #bytes: Buffer | undefined;
  #filled = 0;

  constructor(receiver: ResultReceiver) {
    this.#receiver = receiver;
  }

  /** @throws RangeError for what is no answer to this batch */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bytes === undefined) {
        const taken = chunk.subarray(at, at + resultHeaderBytes - this.#headerBytes);
        this.#header.set(taken, this.#headerBytes);
        this.#headerBytes += taken.length;
        at += taken.length;
        if (this.#headerBytes < resultHeaderBytes) return;
        this.#bytes = Buffer.allocUnsafeSlow(this.#beginResult());
      }
      const taken = chunk.subarray(at, at + this.#bytes.length - this.#filled);
      this.#bytes.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === this.#bytes.length) this.#endResult(this.#bytes);
    }
  }

  /** Whether nothing of a result is outstanding. */
  get isBetweenResults(): boolean {
    return this.#headerBytes === 0;
  }

  /** @returns how many bytes follow */
  #beginResult(): number {
    this.#index = this.#header.readUInt32BE(0);
    const outcome = outcomes[this.#header[4]!];
    const length = this.#header.readUInt32BE(8);
    const expected = this.#receiver.expectedBytes(this.#index);
    if (outcome === undefined || this.#header.readUIntBE(5, 3) !== 0) throw new RangeError('an unknown outcome');
    if (expected === undefined) throw new RangeError('a result that nobody asked for');
    if (outcome === 'ok' ? length !== expected : length > maxReasonBytes) {
      throw new RangeError(`a result of ${length} bytes where ${expected} were asked for`);
    }
    this.#outcome = outcome;
    return length;
  }

  #endResult(bytes: Buffer): void {
    this.#bytes = undefined;
    this.#filled = 0;
    this.#headerBytes = 0;
    this.#receiver.receive(this.#index, this.#outcome, bytes);
  }
}
