import { hash } from 'node:crypto';
import { LaneBuffer } from './lane-buffer.ts';
import { kernelWidths, type Md5Kernels } from './md5-kernels.ts';

/** Around the lengths at which padding takes a block more, and over several blocks. */
const testLengths = [0, 1, 55, 56, 64, 119, 300, 1000];

/**
 * Proves at start-up that the kernels compute MD5 on this machine: a wrong digest would be a wrong ETag for good. Every lane of
 * every kernel hashes bytes of its own. Takes about a millisecond, and leaves nothing behind but in the first lanes' memory.
 *
 * @param kernels with room for eight lanes
 * @throws Error that says what differed
 */
export function selfTestKernels(kernels: Md5Kernels): void {
  for (const width of kernelWidths) {
    for (const lengthBytes of testLengths) {
      const lanes = Array.from({ length: width }, (_, index) => new LaneBuffer(kernels.memory, index));
      const samples = lanes.map((_, index) => sample(index, lengthBytes));
      for (const [index, lane] of lanes.entries()) {
        lane.reset();
        lane.put(samples[index]!);
        lane.pad();
      }
      const [first, ...others] = [1, lanes[0]!.readyBlocks - 1].filter((blocks) => blocks > 0);
      // In two runs, so that states are seen to be handed on.
      for (const blocks of [first!, ...others]) {
        kernels.run(width, lanes, blocks);
        for (const lane of lanes) lane.noteHashed(blocks);
      }
      for (const [index, lane] of lanes.entries()) {
        if (lane.readDigest() !== hash('md5', samples[index]!)) {
          throw new Error(`MD5 kernel of width ${width} fails its self-test in lane ${index} at ${lengthBytes} bytes`);
        }
      }
    }
  }
}

function sample(index: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 167 + index * 59 + (i >> 3)) & 0xff);
}
