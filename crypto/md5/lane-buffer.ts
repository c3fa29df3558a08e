import { kernelMemoryBytes, stateBytes } from './md5-memory.ts';
import { blockBytes, initialState } from './md5-steps.ts';

/** What a lane holds of its stream at most: two of the pieces of 64 KiB that come off a socket. */
export const laneBytes = 128 * 1024;
/** Room that no data take, so that the padding of a stream that ends always fits: at most 72 bytes, in whole blocks. */
const paddingRoomBytes = 2 * blockBytes;
const roomBytes = laneBytes + paddingRoomBytes;
/** The state in front has 64 bytes to itself, so that all blocks begin with a cache line. */
const stateRoomBytes = 64;
export const laneStrideBytes = stateRoomBytes + roomBytes;

/**
 * One stream's place in the kernels' memory: its state, and the bytes that came and are not hashed yet. They lie one after the
 * other, and there is room again once all whole blocks were hashed: a ring would cut them in two wherever it ends, at
 * another place for each stream, and streams that go together go as far as all of them reach.
 */
export class LaneBuffer {
  readonly stateAt: number;
  readonly #roomAt: number;
  readonly #room: Buffer;
  readonly #state: Uint32Array;
  readonly #stateText: Buffer;
  /** Bytes of the stream that came, those that have left the room, and those in it that are hashed. */
  #receivedBytes = 0;
  #goneBytes = 0;
  #hashedBytes = 0;

  constructor(memory: ArrayBuffer, index: number) {
    this.stateAt = kernelMemoryBytes + index * laneStrideBytes;
    this.#roomAt = this.stateAt + stateRoomBytes;
    this.#room = Buffer.from(memory, this.#roomAt, roomBytes);
    this.#state = new Uint32Array(memory, this.stateAt, initialState.length);
    this.#stateText = Buffer.from(memory, this.stateAt, stateBytes);
  }

  /** Where the next block to be hashed lies. */
  get dataAt(): number {
    return this.#roomAt + this.#hashedBytes;
  }

  /** How many blocks lie there one after the other. */
  get readyBlocks(): number {
    return Math.floor((this.#filledBytes - this.#hashedBytes) / blockBytes);
  }

  /** Whether nothing was hashed yet, so that the stream can still go elsewhere. */
  get isUntouched(): boolean {
    return this.#goneBytes === 0 && this.#hashedBytes === 0;
  }

  /** All that came so far, where nothing was hashed yet. Good until the next call. */
  get untouchedBytes(): Uint8Array {
    return this.#room.subarray(0, this.#filledBytes);
  }

  get #filledBytes(): number {
    return this.#receivedBytes - this.#goneBytes;
  }

  /** Makes it ready for a new stream. */
  reset(): void {
    this.#receivedBytes = 0;
    this.#goneBytes = 0;
    this.#hashedBytes = 0;
    this.#state.set(initialState);
  }

  /** Copies as much of the chunk as there is room for. @returns how many bytes that was */
  put(chunk: Uint8Array): number {
    const taken = Math.min(chunk.length, laneBytes - this.#filledBytes);
    this.#write(taken === chunk.length ? chunk : chunk.subarray(0, taken));
    return taken;
  }

  /** Ends the stream: all that is not hashed are then whole blocks. RFC 1321, 3.1 and 3.2. */
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
    if (this.readyBlocks > 0) return;
    this.#room.copyWithin(0, this.#hashedBytes, this.#filledBytes);
    this.#goneBytes += this.#hashedBytes;
    this.#hashedBytes = 0;
  }

  /** The digest in hex, once all blocks of a padded stream were hashed. */
  readDigest(): string {
    return this.#stateText.toString('hex');
  }

  #write(bytes: Uint8Array): void {
    this.#room.set(bytes, this.#filledBytes);
    this.#receivedBytes += bytes.length;
  }
}
