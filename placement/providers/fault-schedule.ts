import type { Fault } from './faulty-provider.ts';
import type { ProviderCall } from './wrapped-provider.ts';

/**
 * What a provider is like for a while:
 * - `well`: nothing is wrong
 * - `dead`: every call fails
 * - `slow`: every call takes a while
 * - `lying`: most of what is read is wrong, or said not to be there; what is kept is right
 * - `forgetful`: most of what is written is acknowledged, and lost or spoilt
 * - `freezing`: no call ever answers
 * - `full`: it takes no new data
 * - `throttled`: most calls are refused as an endpoint does that has too much to do
 */
export const moods = ['well', 'dead', 'slow', 'lying', 'forgetful', 'freezing', 'full', 'throttled'] as const;
export type Mood = (typeof moods)[number];

/** How long a provider is in a mood, counted in calls to it. */
export interface FaultPhase {
  readonly mood: Mood;
  readonly calls: number;
}

export interface FaultScheduleSetting {
  readonly seed: number;
  /** One after the other, then from the beginning again. Where there are none, they are drawn from the seed, without end. */
  readonly phases?: readonly FaultPhase[];
  /** How long a call takes at most while it is slow. */
  readonly maxSlowMs?: number;
}

/** Part of the calls that go wrong in moods where not all do. */
const usualShare = 0.7;
const minPhaseCalls = 10;
const maxPhaseCalls = 200;

const readLies: readonly Fault[] = ['flip', 'truncate', 'wrong-shard', 'missing'];
const writeLies: readonly Fault[] = ['lose', 'flip', 'truncate'];

/** What can go wrong with a call in moods in which that depends on the call. */
const lies: Partial<Record<Mood, Partial<Record<ProviderCall, readonly Fault[]>>>> = {
  lying: { readShard: readLies, statShard: ['missing'], readRoot: ['flip', 'truncate'] },
  forgetful: { putShard: writeLies, append: ['flip', 'truncate'], commit: ['lose'], writeRoot: writeLies },
  full: Object.fromEntries(
    (['putShard', 'createShard', 'append', 'commit', 'writeRoot'] as const).map((call) => [call, ['full']]),
  ),
};

/**
 * Faults by a plan that follows from a seed: the same calls in the same order meet the same faults. (Numbers: mulberry32, by Tommy
 * Ettinger, in the public domain.)
 */
export class FaultSchedule {
  readonly #setting: FaultScheduleSetting;
  #state: number;
  #phase: FaultPhase | undefined;
  #phaseIndex = 0;
  #callsLeft = 0;

  constructor(setting: FaultScheduleSetting) {
    this.#setting = setting;
    this.#state = setting.seed >>> 0;
  }

  /** What the provider is like at the next call. */
  get mood(): Mood {
    return this.#now().mood;
  }

  /** The fault for a call that starts now. */
  take(call: ProviderCall): Fault | undefined {
    const { mood } = this.#now();
    this.#callsLeft -= 1;
    // Drawn for every call alike, so that what happens to one does not depend on what the one before was.
    const [chance, choice] = [this.#draw(), this.#draw()];
    if (mood === 'well') return undefined;
    if (mood === 'dead') return 'error';
    if (mood === 'freezing') return 'hang';
    if (mood === 'slow') return { slowMs: Math.ceil(choice * (this.#setting.maxSlowMs ?? 20)) };
    if (mood === 'full') return lies.full?.[call]?.[0];
    if (chance >= usualShare) return undefined;
    if (mood === 'throttled') return '503';
    const possible = lies[mood]?.[call];
    return possible?.[Math.floor(choice * possible.length)];
  }

  #now(): FaultPhase {
    while (this.#phase === undefined || this.#callsLeft <= 0) {
      this.#phase = this.#nextPhase();
      this.#callsLeft = this.#phase.calls;
    }
    return this.#phase;
  }

  #nextPhase(): FaultPhase {
    const { phases } = this.#setting;
    if (phases !== undefined) return phases[this.#phaseIndex++ % phases.length]!;
    const mood = moods[Math.floor(this.#draw() * moods.length)]!;
    return { mood, calls: minPhaseCalls + Math.floor(this.#draw() * (maxPhaseCalls - minPhaseCalls)) };
  }

  /** From 0 up to 1. */
  #draw(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let word = this.#state;
    word = Math.imul(word ^ (word >>> 15), word | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  }
}
