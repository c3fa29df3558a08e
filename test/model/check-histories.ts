import fc from 'fast-check';
import { liveThrough } from './history.ts';
import { anyHistory, type Step } from './steps.ts';
import type { WorldSetting } from './world.ts';

const maxShrinkMs = 60_000;

interface History {
  readonly setting: WorldSetting;
  readonly steps: readonly Step[];
}

/**
 * Lives through random histories, the same ones for the same seed.
 *
 * @param onDone is told of each one that came out right
 * @throws Error for the first that does not: with the seed, what was wrong, and the fewest of its steps that go wrong too
 */
export async function checkHistories(options: {
  readonly count: number;
  readonly seed: number;
  readonly onDone?: (history: History) => void;
}): Promise<void> {
  const { count, seed, onDone } = options;
  const property = fc.asyncProperty(anyHistory, async (history) => {
    await liveThrough(history.setting, history.steps);
    onDone?.(history);
  });
  const details = await fc.check(property, { numRuns: count, seed, endOnFailure: true });
  const { failed, counterexample, numRuns, errorInstance } = details;
  if (!failed && numRuns === count) return;
  // Nothing else may pass for success: a run that was broken off has checked less than it says.
  if (counterexample === null)
    throw new Error(`only ${numRuns} of ${count} histories of seed ${seed} were lived through`);
  const [{ setting, steps }] = counterexample;
  const { steps: fewer, error } = await dropSteps(setting, steps);
  const history = JSON.stringify({ setting, steps: fewer });
  // What depends on how busy the machine is may not happen twice: then what it was the first time is all there is.
  const form = error === undefined ? 'which comes out right when it is lived through again' : 'in its shortest form';
  throw new Error(`history ${numRuns} of seed ${seed}, ${form}:\n${history}`, { cause: error ?? errorInstance });
}

/** Leaves out what is not needed for the history to go wrong, in halves, quarters, and so on to single steps. */
async function dropSteps(setting: WorldSetting, all: readonly Step[]): Promise<{ steps: Step[]; error: unknown }> {
  const endsAtMs = performance.now() + maxShrinkMs;
  let steps = [...all];
  let error = await findFault(setting, steps);
  for (let size = steps.length >> 1; size > 0 && error !== undefined; size = size === 1 ? 0 : size >> 1) {
    for (let start = steps.length - size; start >= 0 && performance.now() < endsAtMs; start -= size) {
      const fewer = steps.toSpliced(start, size);
      const fault = await findFault(setting, fewer);
      if (fault === undefined) continue;
      steps = fewer;
      error = fault;
    }
  }
  return { steps, error };
}

async function findFault(setting: WorldSetting, steps: readonly Step[]): Promise<unknown> {
  try {
    await liveThrough(setting, steps);
    return undefined;
  } catch (error) {
    return error;
  }
}
