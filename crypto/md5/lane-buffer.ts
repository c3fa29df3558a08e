import { kernelMemoryBytes, stateBytes } from './md5-memory.ts';
import { blockBytes, initialState } from './md5-steps.ts';

/** What a lane holds of its stream at most: two of the pieces of 64 KiB that come off a socket. */
export const laneBytes = 128 * 1024;
/** Room that no data take, so that the padding of a stream that ends always fits: at most 72 bytes, in whole blocks. */
const paddingRoomBytes = 2 * blockBytes;
const ringBytes = laneBytes + paddingRoomBytes;
/** The state in front has 64 bytes to itself, so that all blocks begin with a cache line. */
const stateRoomBytes = 64;
export const laneStrideBytes = stateRoomBytes + ringBytes;

/**
 * One stream's place in the kernels' memory: its state, and a ring of the bytes that came and are not hashed yet. Blocks
 * never lie across the ring's end, since that is a whole number of blocks long.
 */
export class LaneBuffer {
  readonly stateAt: number;
  readonly #ringAt: number;
  readonly #ring: Buffer;
  readonly #state: Uint32Array;
  readonly #stateText: Buffer;
  /** Bytes that came, and those of them that were hashed: whole blocks. */
  #receivedBytes = 0;
  #hashedBytes = 0;

  constructor(memory: ArrayBuffer, index: number) {
    this.stateAt = kernelMemoryBytes + index * laneStrideBytes;
    this.#ringAt = this.stateAt + stateRoomBytes;
    this.#ring = Buffer.from(memory, this.#ringAt, ringBytes);
    this.#state = new Uint32Array(memory, this.stateAt, initialState.length);
    this.#stateText = Buffer.from(memory, this.stateAt, stateBytes);
  }

  /** Where the next block to be hashed lies. */
  get dataAt(): number {
    return this.#ringAt + (this.#hashedBytes % ringBytes);
  }

  /** How many blocks lie there one after the other. */
  get readyBlocks(): number {
    const untilEnd = ringBytes - (this.#hashedBytes % ringBytes);
    return Math.floor(Math.min(untilEnd, this.#receivedBytes - this.#hashedBytes) / blockBytes);
  }

  /** Whether nothing was hashed yet, so that the stream can still go elsewhere. */
  get isUntouched(): boolean {
    return this.#hashedBytes === 0;
  }

  /** All that came so far, where nothing was hashed yet. Good until the next call. */
  get untouchedBytes(): Uint8Array {
    return this.#ring.subarray(0, this.#receivedBytes);
  }

  /** Makes it ready for a new stream. */
  reset(): void {
    this.#receivedBytes = 0;
    this.#hashedBytes = 0;
    this.#state.set(initialState);
  }

  /** Copies as much of the chunk as there is room for. @returns how many bytes that was */
  put(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, laneBytes - (this.#receivedBytes - this.#hashedBytes));
    this.#write(taken === chunk.length ? chunk : chunk.subarray(0, taken));
    return taken;
  }

  /** Ends the stream: all that is in the ring are then whole blocks. RFC 1321, 3.1 and 3.2. */
  pad(): void {
    const filled = (this.#receivedBytes + 1 + 8) % blockBytes;
    const zeros = filled === 0 ? 0 : blockBytes - filled;
    const padding = Buffer.alloc(1 + zeros + 8);
    padding[0] = 0x80;
    padding.writeBigUInt64LE(BigInt(this.#receivedBytes) * 8n, 1 + zeros);
    this.#write(padding);
  }

  /** After a kernel has hashed so many blocks from `dataAt` on. */
  noteHashed(blocks: number): void {
    this.#hashedBytes += blocks * blockBytes;
  }

  /** The digest in hex, once all blocks of a padded stream were hashed. */
  readDigest(): string {
    return this.#stateText.toString('hex');
  }

  #write(bytes: Uint8Array): void {
    const at = this.#receivedBytes % ringBytes;
    const head = Math.min(bytes.length, ringBytes - at);
    this.#ring.set(head === bytes.length ? bytes : bytes.subarray(0, head), at);
    if (head < bytes.length) this.#ring.set(bytes.subarray(head), 0);
    this.#receivedBytes += bytes.length;
  }
}
