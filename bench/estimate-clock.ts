/** Of a multiplication of two 32-bit integers, on every x86-64 and 64-bit ARM core of the last fifteen years (Agner Fog, "Instruction tables"). */
const cyclesPerMultiplication = 3;
const multiplications = 400_000;
/** Short, so that some of them are not interrupted. */
const runs = 100;

let clockHz: number | undefined;

/**
 * The clock of the core that this runs on, measured: each multiplication of a chain waits for the one before. The best of some runs, so
 * that it takes a machine which never gets as far as its full clock to be wrong by much. Many virtual machines do not tell theirs.
 */
export function estimateClockHz(): number {
  clockHz ??= Math.max(...Array.from({ length: runs }, timeChain));
  return clockHz;
}

function timeChain(): number {
  const startedAtMs = performance.now();
  let value = 3;
  for (let left = multiplications; left > 0; left--) value = Math.imul(value, 0x9e3779b1);
  const seconds = (performance.now() - startedAtMs) / 1000;
  // The value is odd, and so never 0; asked for, so that the chain is not dropped.
  return value === 0 ? 0 : (multiplications * cyclesPerMultiplication) / seconds;
}
