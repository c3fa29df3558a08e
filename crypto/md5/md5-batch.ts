import { hash } from 'node:crypto';
import { LaneBuffer, laneBytes } from './lane-buffer.ts';
import { kernelWidths, type Md5Kernels, maxKernelWidth } from './md5-kernels.ts';

/** A message in the pieces in which it lies in memory. */
export type Md5Message = readonly Uint8Array[];

/** MD5 of messages that are all at hand, as many at once as a kernel has lanes. For what is still to come there is `Md5Lanes`. */
export class Md5Batch {
  readonly #kernels: Md5Kernels | undefined;
  readonly #lanes: readonly LaneBuffer[];

  /**
   * @param kernels absent: node:crypto hashes one after the other
   * @param firstLane in the kernels' memory: the first of `maxKernelWidth` lanes that nobody else has
   */
  constructor(kernels: Md5Kernels | undefined, firstLane: number) {
    this.#kernels = kernels;
    this.#lanes = kernels
      ? Array.from({ length: maxKernelWidth }, (_, index) => new LaneBuffer(kernels.memory, firstLane + index))
      : [];
  }

  /** The digests in hex, in the order of the messages. What is longer than a lane is hashed by itself. */
  hash(messages: readonly Md5Message[]): string[] {
    const digests = new Array<string>(messages.length);
    const inLanes: number[] = [];
    for (const [index, message] of messages.entries()) {
      if (this.#kernels === undefined || measure(message) > laneBytes) digests[index] = hashAlone(message);
      else inLanes.push(index);
    }
    // Those that go together are about as long as each other: lanes that are done are idle.
    inLanes.sort((a, b) => measure(messages[b]!) - measure(messages[a]!));
    for (let at = 0; at < inLanes.length; at += maxKernelWidth) {
      const group = inLanes.slice(at, at + maxKernelWidth);
      if (group.length === 1) digests[group[0]!] = hashAlone(messages[group[0]!]!);
      else this.#hashGroup(group, messages, digests);
    }
    return digests;
  }

  #hashGroup(group: readonly number[], messages: readonly Md5Message[], digests: string[]): void {
    const lanes = group.map((index, at) => {
      const lane = this.#lanes[at]!;
      lane.reset();
      for (const piece of messages[index]!) lane.put(piece);
      lane.pad();
      return lane;
    });
    for (let busy = lanes; busy.length > 0; busy = busy.filter(({ readyBlocks }) => readyBlocks > 0)) {
      const blocks = Math.min(...busy.map(({ readyBlocks }) => readyBlocks));
      const width = kernelWidths.find((each) => each >= busy.length)!;
      this.#kernels!.run(width, busy, blocks);
      for (const lane of busy) lane.noteHashed(blocks);
    }
    for (const [at, index] of group.entries()) digests[index] = lanes[at]!.readDigest();
  }
}

function measure(message: Md5Message): number {
  return message.reduce((bytes, piece) => bytes + piece.length, 0);
}

function hashAlone(message: Md5Message): string {
  return hash('md5', message.length === 1 ? message[0]! : Buffer.concat(message));
}
