import { setFlagsFromString } from 'node:v8';

const flags = ['experimental-wasm-revectorize', 'no-liftoff'];
const flagsAfter = ['no-experimental-wasm-revectorize', 'liftoff'];

/**
 * Modules that are compiled by `work`, with those of their functions that it calls, have pairs of adjacent 128-bit
 * operations joined to 256-bit ones, where V8 and the machine can. They are compiled optimized at once, so that what
 * `work` finds out about them is true of what runs later; it takes 1 to 2 ms a kernel. V8 calls it experimental.
 *
 * The flags are the process's. So they are set for no longer than this: other modules are compiled as ever. V8 takes
 * modules of equal bytes for one, so what was compiled before without them must not be compiled again with them.
 */
export function withRevectorizing<Result>(work: () => Result): Result {
  for (const flag of flags) setFlagsFromString(`--${flag}`);
  try {
    return work();
  } finally {
    for (const flag of flagsAfter) setFlagsFromString(`--${flag}`);
  }
}
