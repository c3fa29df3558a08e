import type { Log } from '../../core/log.ts';
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
  let kernels: Md5Kernels | undefined;
  try {
    const created = create(lanesMemoryBytes(laneCount));
    selfTestKernels(created);
    kernels = created;
  } catch (error) {
    log.warn(
      { err: error },
      'MD5 CANNOT BE COMPUTED IN LANES HERE: each upload is hashed by itself, at about a quarter of the speed',
    );
  }
  return new Md5Lanes({ kernels, laneCount, onHashed });
}
