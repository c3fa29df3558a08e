import { createHash, type Hash, hash } from 'node:crypto';
import { LaneBuffer, laneStrideBytes } from './lane-buffer.ts';
import { Md5Batch } from './md5-batch.ts';
import { kernelWidths, type Md5Kernels, maxKernelWidth } from './md5-kernels.ts';
import { blockBytes } from './md5-steps.ts';

/** MD5 of one stream of bytes. */
export interface Md5Stream {
  /**
   * Takes the next bytes.
   *
   * @returns undefined where all is done, else a promise; until it resolves the chunk must stay as it is, and nothing else may
   *   be called but `close`. The wait is one for the processor, not for other clients.
   */
  update(chunk: Uint8Array): Promise<void> | undefined;
  /** The digest in hex. Ends the stream, which then needs no `close`. */
  digest(): Promise<string>;
  /** Gives up a stream that is not to be ended; a wait for it ends as well. May be called at any time, and again. */
  close(): void;
}

/** How bytes were hashed: together with those of other streams, or by themselves. */
export type Md5Way = 'lanes' | 'alone';

export interface Md5LanesParts {
  /** Absent: all streams go to node:crypto. Their memory must be `lanesMemoryBytes(laneCount)` long. */
  readonly kernels: Md5Kernels | undefined;
  readonly laneCount: number;
  /** Called after bytes were hashed. */
  readonly onHashed: (way: Md5Way, bytes: number) => void;
}

/** A turn that has taken so long lets others have theirs; a run of the kernel takes up to half of it more. */
const maxTurnMs = 1.5;
/** Fewer blocks than these are not worth a run of their own for the sake of one lane more. */
const minSharedBlocks = 32;
/** From this length on it pays to leave a lane for node:crypto, which takes a twentieth less time but can never share it. */
const worthLeavingBytes = 16 * 2 ** 20;

/**
 * MD5 of many streams at once, in the lanes of vectors, where one stream alone cannot be made faster.
 *
 * Streams copy their bytes into lanes of their own. Nothing is hashed before somebody has to wait: for room in its lane, or for
 * its digest. Then, once the event loop has heard of everything else that came meanwhile, the kernels take all that is there,
 * as many streams at once as there are, until nobody has to wait any more. There is no timer: the busier the process, the
 * more comes together.
 *
 * A long stream that is still the only one at that moment goes to node:crypto, which needs no copy, and stays there, since node's
 * hash can take no state over. Others, and one that is left alone later, stay in their lanes, where the kernel for one stream is nearly
 * as fast and the next bytes may have company.
 */
export class Md5Lanes {
  /** For messages that are all at hand, with lanes of their own. */
  readonly batch: Md5Batch;
  readonly #kernels: Md5Kernels | undefined;
  readonly #onHashed: Md5LanesParts['onHashed'];
  /** Those that no stream has, the ones used last at the end: what was never used takes no memory. */
  readonly #free: LaneBuffer[];
  /** Streams that have begun and are not closed. */
  #openCount = 0;
  readonly #inLanes = new Set<LaneStream>();
  #isScheduled = false;

  constructor({ kernels, laneCount, onHashed }: Md5LanesParts) {
    this.#kernels = kernels;
    this.#onHashed = onHashed;
    this.batch = new Md5Batch(kernels, laneCount);
    this.#free =
      kernels === undefined
        ? []
        : Array.from({ length: laneCount }, (_, index) => new LaneBuffer(kernels.memory, laneCount - 1 - index));
  }

  /** How many lanes no stream has. */
  get freeLanes(): number {
    return this.#free.length;
  }

  /** A stream that has no bytes yet and holds nothing. @param sizeBytes how long it will be, where that is known */
  openStream(sizeBytes = Number.POSITIVE_INFINITY): Md5Stream {
    return new LaneStream({
      mayLeave: sizeBytes >= worthLeavingBytes,
      begin: (stream) => this.#begin(stream),
      end: (stream, lane) => this.#end(stream, lane),
      isAlone: () => this.#openCount === 1,
      schedule: () => this.#schedule(),
      onHashed: this.#onHashed,
    });
  }

  /** @returns undefined where all lanes are taken */
  #begin(stream: LaneStream): LaneBuffer | undefined {
    this.#openCount++;
    const lane = this.#free.pop();
    if (lane !== undefined) this.#inLanes.add(stream);
    lane?.reset();
    return lane;
  }

  #end(stream: LaneStream, { lane, isClosed }: { lane: LaneBuffer | undefined; isClosed: boolean }): void {
    if (isClosed) this.#openCount--;
    if (lane === undefined) return;
    this.#inLanes.delete(stream);
    this.#free.push(lane);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // After the sockets that the loop is at had their turn.
    setImmediate(() => {
      this.#isScheduled = false;
      this.#takeTurn();
    });
  }

  #takeTurn(): void {
    if (this.#openCount === 1) for (const stream of this.#inLanes) if (stream.mayGoNative) stream.goNative();
    const endsAtMs = performance.now() + maxTurnMs;
    for (let group = this.#chooseGroup(); group !== undefined; group = this.#chooseGroup()) {
      this.#run(group);
      if (performance.now() <= endsAtMs) continue;
      this.#schedule();
      return;
    }
  }

  /** The streams to be hashed next, one that waits first; undefined where none waits. */
  #chooseGroup(): LaneStream[] | undefined {
    const byBlocks = [...this.#inLanes].filter((stream) => stream.readyBlocks > 0);
    byBlocks.sort((a, b) => b.readyBlocks - a.readyBlocks);
    const first = byBlocks.find((stream) => stream.isWaiting);
    if (first === undefined) return undefined;
    const least = Math.min(first.readyBlocks, minSharedBlocks);
    const others = byBlocks.filter((stream) => stream !== first && stream.readyBlocks >= least);
    return [first, ...others.slice(0, maxKernelWidth - 1)];
  }

  /** Hashes as many blocks of each as all of them have. */
  #run(group: readonly LaneStream[]): void {
    const lanes = group.map(({ lane }) => lane!);
    const blocks = Math.min(...lanes.map(({ readyBlocks }) => readyBlocks));
    const width = kernelWidths.find((each) => each >= lanes.length)!;
    this.#kernels!.run(width, lanes, blocks);
    this.#onHashed(lanes.length > 1 ? 'lanes' : 'alone', lanes.length * blocks * blockBytes);
    for (const stream of group) stream.noteHashed(blocks);
  }
}

/** What a stream needs of its `Md5Lanes`. */
interface LaneOwner {
  /** Whether the stream is long enough to go to node:crypto. */
  readonly mayLeave: boolean;
  begin(stream: LaneStream): LaneBuffer | undefined;
  end(stream: LaneStream, outcome: { lane: LaneBuffer | undefined; isClosed: boolean }): void;
  isAlone(): boolean;
  schedule(): void;
  onHashed(way: Md5Way, bytes: number): void;
}

class LaneStream implements Md5Stream {
  readonly #owner: LaneOwner;
  #state: 'new' | 'open' | 'closed' = 'new';
  /** One of these two once there are bytes. */
  #lane: LaneBuffer | undefined;
  #native: Hash | undefined;
  /** What waits for room. */
  #rest: Uint8Array | undefined;
  #onRoom: (() => void) | undefined;
  #onDigest: { resolve: (hex: string) => void; reject: (error: Error) => void } | undefined;

  constructor(owner: LaneOwner) {
    this.#owner = owner;
  }

  get lane(): LaneBuffer | undefined {
    return this.#lane;
  }

  get readyBlocks(): number {
    return this.#lane?.readyBlocks ?? 0;
  }

  /** Whether it is long, waits for room, and nothing of it was hashed yet. */
  get mayGoNative(): boolean {
    return this.#owner.mayLeave && this.#onRoom !== undefined && this.#lane!.isUntouched;
  }

  get isWaiting(): boolean {
    return this.#onRoom !== undefined || this.#onDigest !== undefined;
  }

  update(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#state === 'closed' || this.isWaiting) throw new Error('the stream takes no bytes now');
    if (chunk.length === 0) return undefined;
    if (this.#state === 'new') this.#begin();
    if (this.#lane === undefined) return void this.#updateNative(chunk);
    const taken = this.#lane.put(chunk);
    if (taken === chunk.length) return undefined;
    this.#rest = chunk.subarray(taken);
    this.#owner.schedule();
    return new Promise((resolve) => {
      this.#onRoom = resolve;
    });
  }

  async digest(): Promise<string> {
    if (this.#state === 'closed' || this.isWaiting) throw new Error('the stream cannot end now');
    if (this.#state === 'new') this.#begin();
    const lane = this.#lane;
    if (lane === undefined) return this.#end(this.#native!.digest('hex'));
    if (lane.isUntouched && this.#owner.isAlone()) {
      const bytes = lane.untouchedBytes;
      this.#owner.onHashed('alone', bytes.length);
      return this.#end(hash('md5', bytes));
    }
    lane.pad();
    this.#owner.schedule();
    return new Promise((resolve, reject) => {
      this.#onDigest = { resolve, reject };
    });
  }

  close(): void {
    if (this.#state === 'closed') return;
    const [onRoom, onDigest] = [this.#onRoom, this.#onDigest];
    this.#onRoom = undefined;
    this.#onDigest = undefined;
    this.#rest = undefined;
    if (this.#state === 'open') this.#owner.end(this, { lane: this.#lane, isClosed: true });
    this.#lane = undefined;
    this.#state = 'closed';
    onRoom?.();
    onDigest?.reject(new Error('the stream was given up'));
  }

  /** After blocks of its lane were hashed. */
  noteHashed(blocks: number): void {
    const lane = this.#lane!;
    lane.noteHashed(blocks);
    if (this.#rest !== undefined) {
      const taken = lane.put(this.#rest);
      this.#rest = taken === this.#rest.length ? undefined : this.#rest.subarray(taken);
    }
    if (this.#rest === undefined) {
      this.#onRoom?.();
      this.#onRoom = undefined;
    }
    // A stream that waits for its digest was padded, so that nothing is left when no block is.
    if (this.#onDigest === undefined || lane.readyBlocks > 0) return;
    const { resolve } = this.#onDigest;
    this.#onDigest = undefined;
    resolve(this.#end(lane.readDigest()));
  }

  #begin(): void {
    this.#state = 'open';
    this.#lane = this.#owner.begin(this);
    if (this.#lane === undefined) this.#native = createHash('md5');
  }

  /** Leaves a lane in which nothing was hashed, and waits no longer. */
  goNative(): void {
    const lane = this.#lane!;
    this.#native = createHash('md5');
    this.#updateNative(lane.untouchedBytes);
    this.#lane = undefined;
    this.#owner.end(this, { lane, isClosed: false });
    this.#updateNative(this.#rest!);
    this.#rest = undefined;
    this.#onRoom?.();
    this.#onRoom = undefined;
  }

  #updateNative(bytes: Uint8Array): void {
    this.#native!.update(bytes);
    this.#owner.onHashed('alone', bytes.length);
  }

  #end(hex: string): string {
    this.close();
    return hex;
  }
}

/** How much of the caller's memory kernels for so many streams need, and for a batch beside them. */
export function lanesMemoryBytes(laneCount: number): number {
  return (laneCount + maxKernelWidth) * laneStrideBytes;
}
