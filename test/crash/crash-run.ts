import { type DurableStep, durableSteps } from '../../core/durable-steps.ts';
import { CrashLane, type KillOutcome } from './crash-lane.ts';
import { type Kill, planKills } from './kill-plan.ts';

/** So many gateways, each over data of its own, die side by side: one is checked while another starts. */
const laneCount = 2;
/** A step that did not come is tried so often again, at ever smaller counts. */
const retries = 4;

export interface CrashReport {
  readonly kills: number;
  /** Requests that were answered between start and kill, of all rounds together. */
  readonly answered: number;
  /** How long each start took until the server was ready. */
  readonly startsMs: readonly number[];
  readonly stripes: number;
  /** How often the process died at each step. */
  readonly killsAtSteps: ReadonlyMap<DurableStep, number>;
  /** Kills that struck before the server was ready. */
  readonly killsAtStart: number;
}

/**
 * Has gateways die over and over: at each durable step, and at random moments, under load. Each is started again over the same
 * data and compared with what clients were told. In the end the data must hold nothing that is not needed.
 *
 * @param say is told of each kill
 * @throws AssertionError and other errors, with the data directory left as it is
 */
export async function runCrashes(options: {
  readonly kills: number;
  readonly seed: number;
  readonly say: (text: string) => void;
  readonly steps?: readonly DurableStep[];
}): Promise<CrashReport> {
  const { kills, seed, say, steps = durableSteps } = options;
  const queue = planKills({ kills, seed, steps });
  const again = new SecondTries();
  const outcomes: KillOutcome[] = [];
  const lanes = await Promise.all(Array.from({ length: laneCount }, (_, index) => CrashLane.open(seed + index)));
  let failed = false;
  const work = async (lane: CrashLane): Promise<void> => {
    for (let kill = queue.shift(); kill !== undefined && !failed; kill = queue.shift()) {
      const outcome = await lane.strike(again.soften(kill));
      outcomes.push(outcome);
      say(`kill ${outcomes.length}: ${describe(outcome)}`);
      if (again.isDue(outcome)) queue.push(outcome.kill);
    }
  };
  const stop = (error: unknown): never => {
    failed = true;
    throw error;
  };
  await settleAll(lanes.map((lane) => work(lane).catch(stop)));
  const closed = await settleAll(lanes.map((lane) => lane.close()));
  return {
    kills: outcomes.length,
    answered: outcomes.reduce((sum, { answered }) => sum + answered, 0),
    startsMs: lanes.flatMap(({ startsMs }) => startsMs),
    stripes: closed.reduce((sum, { stripes }) => sum + stripes, 0),
    killsAtSteps: new Map(steps.map((step) => [step, countKills(outcomes, step)])),
    killsAtStart: outcomes.filter(({ atStart }) => atStart).length,
  };
}

/** Steps that do not come often enough for what was planned: then the process was killed elsewhere, and the step is tried again, sooner. */
class SecondTries {
  readonly #tries = new Map<DurableStep, number>();
  readonly #maxCounts = new Map<DurableStep, number>();

  soften(kill: Kill): Kill {
    if (kill.kind !== 'step') return kill;
    return { ...kill, count: Math.min(kill.count, this.#maxCounts.get(kill.step) ?? kill.count) };
  }

  isDue({ kill, isDone }: KillOutcome): boolean {
    if (isDone || kill.kind !== 'step') return false;
    this.#maxCounts.set(kill.step, Math.max(1, kill.count >> 1));
    const tries = (this.#tries.get(kill.step) ?? 0) + 1;
    this.#tries.set(kill.step, tries);
    return tries <= retries;
  }
}

function countKills(outcomes: readonly KillOutcome[], step: DurableStep): number {
  return outcomes.filter(({ kill, isDone }) => isDone && kill.kind === 'step' && kill.step === step).length;
}

function describe({ kill, isDone, atStart, answered }: KillOutcome): string {
  const where =
    kill.kind === 'step'
      ? `${kill.step} for the ${kill.count}. time${isDone ? '' : ', which did not come'}`
      : `${kill.kind} + ${kill.afterMs} ms`;
  return `${where}${atStart ? ', before it served' : ''}; ${answered} answers`;
}

/** All of them end before the first error is told, so that nothing runs on. */
async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((each) => {
    if (each.status === 'rejected') throw each.reason;
    return each.value;
  });
}
