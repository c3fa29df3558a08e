import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LaneBuffer, laneStrideBytes } from '../../crypto/md5/lane-buffer.ts';
import { createMd5Kernels, kernelWidths, maxKernelWidth } from '../../crypto/md5/md5-kernels.ts';
import { md5Steps } from '../../crypto/md5/md5-steps.ts';
import { selfTestKernels } from '../../crypto/md5/self-test-kernels.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';

const kernels = createMd5Kernels(maxKernelWidth * laneStrideBytes);
const lanes = Array.from({ length: maxKernelWidth }, (_, index) => new LaneBuffer(kernels.memory, index));

describe('the steps of MD5', () => {
  it('are those of RFC 1321', () => {
    // The first and last of each round, from its appendix A.3.
    const rows = [0, 15, 16, 31, 32, 47, 48, 63].map((index) => {
      const { word, rotation, constant } = md5Steps[index]!;
      return [word, rotation, constant];
    });
    assert.deepEqual(rows, [
      [0, 7, 0xd76aa478],
      [15, 22, 0x49b40821],
      [1, 5, 0xf61e2562],
      [12, 20, 0x8d2a4c8a],
      [5, 4, 0xfffa3942],
      [2, 23, 0xc4ac5665],
      [0, 6, 0xf4292244],
      [9, 21, 0xeb86d391],
    ]);
  });
});

describe("MD5's kernels", () => {
  it('hash what ends after any number of bytes of a block, in every lane', () => {
    for (const width of kernelWidths) {
      for (let lengthBytes = 0; lengthBytes <= 200; lengthBytes++) {
        const used = lanes.slice(0, width);
        const samples = used.map((_, index) => patternBytes(lengthBytes, index + 1));
        for (const [index, lane] of used.entries()) {
          lane.reset();
          lane.put(samples[index]!);
          lane.pad();
        }
        const blocks = used[0]!.readyBlocks;
        kernels.run(width, used, blocks);
        assert.deepEqual(
          used.map((lane) => lane.readDigest()),
          samples.map((bytes) => hash('md5', bytes)),
          `width ${width}, ${lengthBytes} bytes`,
        );
      }
    }
  });

  it('hash fewer streams than they have lanes, and touch none but these', () => {
    for (const width of kernelWidths) {
      for (let count = 1; count <= width; count++) {
        for (const lane of lanes) lane.reset();
        const before = Buffer.from(new Uint8Array(kernels.memory, lanes[0]!.stateAt)).subarray(count * laneStrideBytes);
        const used = lanes.slice(0, count);
        const samples = used.map((_, index) => patternBytes(130, index));
        for (const [index, lane] of used.entries()) {
          lane.put(samples[index]!);
          lane.pad();
        }
        kernels.run(width, used, 3);
        for (const [index, lane] of used.entries()) assert.equal(lane.readDigest(), hash('md5', samples[index]!));
        const after = Buffer.from(kernels.memory, lanes[0]!.stateAt + count * laneStrideBytes);
        assert.ok(before.equals(after), `${count} of ${width}`);
      }
    }
  });

  it('hash streams piece by piece, whatever the pieces and whichever streams come together', () => {
    const piece = fc.record({ lane: fc.nat(maxKernelWidth - 1), bytes: fc.nat(40_000) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const sent = lanes.map(() => [] as Uint8Array[]);
        for (const lane of lanes) lane.reset();
        for (const [at, { lane, bytes }] of pieces.entries()) {
          const chunk = patternBytes(bytes, at);
          let rest = chunk;
          while (rest.length > 0) {
            rest = rest.subarray(lanes[lane]!.put(rest));
            runAll();
          }
          sent[lane]!.push(chunk);
        }
        for (const lane of lanes) lane.pad();
        while (runAll());
        assert.deepEqual(
          lanes.map((lane) => lane.readDigest()),
          sent.map((chunks) => hash('md5', Buffer.concat(chunks))),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('refuse more streams than they have lanes, and do nothing where there is no block', () => {
    assert.throws(() => kernels.run(4, lanes.slice(0, 5), 1), RangeError);
    assert.throws(() => kernels.run(4, [], 1), RangeError);
    lanes[0]!.reset();
    kernels.run(1, [lanes[0]!], 0);
    assert.equal(lanes[0]!.readDigest(), '0123456789abcdeffedcba9876543210');
  });

  it('pass their self-test, and do not where one lane of one width is wrong', () => {
    selfTestKernels(kernels);
    for (const wrong of kernelWidths) {
      assert.throws(
        () =>
          selfTestKernels({
            memory: kernels.memory,
            run(width, used, blocks) {
              kernels.run(width, used, blocks);
              if (width === wrong) new DataView(kernels.memory).setUint32(used.at(-1)!.stateAt, 1);
            },
          }),
        new RegExp(`width ${wrong} fails`),
      );
    }
  });
});

/** All that is there, in the widest kernel that fits. @returns whether there was anything */
function runAll(): boolean {
  const ready = lanes.filter((lane) => lane.readyBlocks > 0);
  if (ready.length === 0) return false;
  const blocks = Math.min(...ready.map((lane) => lane.readyBlocks));
  kernels.run(kernelWidths.find((width) => width >= ready.length)!, ready, blocks);
  for (const lane of ready) lane.noteHashed(blocks);
  return true;
}
