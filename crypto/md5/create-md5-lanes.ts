import type { Log } from '../../core/log.ts';
import { Md5Batch } from './md5-batch.ts';
import { createMd5Kernels, type Md5Kernels } from './md5-kernels.ts';
import { lanesMemoryBytes, Md5Lanes, type Md5LanesParts } from './md5-lanes.ts';
import { selfTestKernels } from './self-test-kernels.ts';

/** More streams at once than these go to node:crypto: with them the memory is bounded, at 8 MiB. */
const laneCount = 64;

/**
 * MD5 of many streams at once, by kernels that have passed their self-test. Where they cannot be had or do not pass it, which
 * is logged as a warning, each stream is hashed by node:crypto.
 *
 * @param parts.create tests give kernels that are wrong
 */
export function createMd5Lanes(parts: {
  log: Log;
  onHashed: Md5LanesParts['onHashed'];
  create?: (ownBytes: number) => Md5Kernels;
}): Md5Lanes {
  const { log, onHashed, create = createMd5Kernels } = parts;
  return new Md5Lanes({ kernels: createTested(log, create, laneCount), laneCount, onHashed });
}

/** The same for messages that are all at hand, where there are no streams. */
export function createMd5Batch({ log }: { log: Log }): Md5Batch {
  return new Md5Batch(createTested(log, createMd5Kernels, 0), 0);
}

function createTested(log: Log, create: (ownBytes: number) => Md5Kernels, streams: number): Md5Kernels | undefined {
  try {
    const kernels = create(lanesMemoryBytes(streams));
    selfTestKernels(kernels);
    return kernels;
  } catch (error) {
    log.warn(
      { err: error },
      'MD5 CANNOT BE COMPUTED IN LANES HERE: each upload is hashed by itself, at about a quarter of the speed',
    );
    return undefined;
  }
}
