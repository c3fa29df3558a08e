import { fileURLToPath } from 'node:url';
import { type DurableStep, durableSteps } from '../../core/durable-steps.ts';
import { Random } from './random.ts';

/** How a gateway is to die. */
export type Kill =
  /** It kills itself when it comes to the step for the `count`-th time since its start. */
  | { readonly kind: 'step'; readonly step: DurableStep; readonly count: number }
  /** So long after the load began. */
  | { readonly kind: 'moment'; readonly afterMs: number }
  /** So long after its process was made, which is as a rule before it serves. */
  | { readonly kind: 'start'; readonly afterMs: number };

const preload = fileURLToPath(new URL('kill-at-step.ts', import.meta.url));

/** How often at least each step is struck, if there are kills enough: the first time that it is reached, and up to so manyth times. */
const maxCounts = [1, 3, 6, 12];
/** The share of the other kills that strike a server which is only just starting. */
const earlyShare = 0.4;

/**
 * As many kills as asked: every step at the first time that it is reached, and at later ones; then random moments. In an order
 * that the seed decides.
 *
 * @param steps to strike at; the moments in between are left out where there are not kills enough
 */
export function planKills(options: {
  readonly kills: number;
  readonly seed: number;
  readonly steps: readonly DurableStep[];
}): Kill[] {
  const random = new Random(options.seed);
  const plan: Kill[] = [];
  for (const maxCount of maxCounts) {
    for (const step of options.steps) {
      const count = random.between(1, maxCount);
      if (plan.length < options.kills) plan.push({ kind: 'step', step, count });
    }
  }
  while (plan.length < options.kills) {
    const isEarly = random.next() < earlyShare;
    plan.push(
      isEarly
        ? { kind: 'start', afterMs: random.between(20, 400) }
        : { kind: 'moment', afterMs: random.between(5, 350) },
    );
  }
  return shuffle(plan, random);
}

/** What makes a gateway's process end as planned, where that is decided within it. */
export function armProcess(kill: Kill): { nodeArguments: string[]; environment: Record<string, string> } {
  if (kill.kind !== 'step') return { nodeArguments: [], environment: {} };
  return {
    nodeArguments: ['--import', preload],
    environment: { HOLDFAST_CRASH_STEP: kill.step, HOLDFAST_CRASH_COUNT: String(kill.count) },
  };
}

/** @throws RangeError for a name that is no step's */
export function parseStep(name: string): DurableStep {
  const step = durableSteps.find((each) => each === name);
  if (step === undefined) throw new RangeError(`no step ${name}; there are ${durableSteps.join(', ')}`);
  return step;
}

function shuffle<T>(items: readonly T[], random: Random): T[] {
  const shuffled = [...items];
  for (let last = shuffled.length - 1; last > 0; last--) {
    const other = random.between(0, last);
    [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
  }
  return shuffled;
}
