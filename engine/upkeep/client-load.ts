import { LatencyTally } from './latency-tally.ts';

/** What clients wait for: the first bytes of a GET, or the end of a small PUT. */
export type ClientCall = 'read' | 'write';

/** Upkeep never rests altogether for long, since redundancy is the clients' interest too. */
const minFactor = 0.05;
const recoveryStep = 0.1;
/** Upkeep is in the way when the clients' p95 is above this multiple of what it is without, and out of it below the other. */
const highRatio = 2;
const lowRatio = 1.4;
/** Differences below this are no matter. */
const floorMs = 2;
const minSamples = 16;
const decideMs = 250;
/** What ended this long after upkeep's last work has seen nothing of it. */
const quietMs = 250;
/** After this long without a client nobody is there to yield to. */
const idleMs = 2_000;
/** What is known of quiet times is renewed this often, in a pause of at most this length. */
const renewMs = 20_000;
const pauseMs = 1_000;
const quietMemory = 512;

interface CallTally {
  /** Calls that ended while upkeep rested. */
  readonly quiet: LatencyTally;
  /** Calls that ended while it worked, since the last decision. */
  readonly busy: LatencyTally;
}

/**
 * Says at which part of its rate upkeep may work, from what clients feel of it: their latency while it works against that
 * while it rests. When their p95 doubles the rate is halved, and rises again in steps once it is no longer seen.
 * While clients are there and upkeep works without a rest, it is paused now and then to see how things are without it.
 */
export class ClientLoad {
  readonly #now: () => number;
  readonly #tallies: Readonly<Record<ClientCall, CallTally>> = {
    read: { quiet: new LatencyTally(), busy: new LatencyTally() },
    write: { quiet: new LatencyTally(), busy: new LatencyTally() },
  };
  #factor = 1;
  #lastWorkMs = Number.NEGATIVE_INFINITY;
  #lastCallMs = Number.NEGATIVE_INFINITY;
  #lastQuietMs = Number.NEGATIVE_INFINITY;
  #decidedAtMs = Number.NEGATIVE_INFINITY;
  #pauseEndMs = Number.NEGATIVE_INFINITY;
  #quietSeen = 0;

  /** @param now milliseconds that pass evenly */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** How long a client's call took. Called for each of them, so it costs next to nothing. */
  note(call: ClientCall, durationMs: number): void {
    const nowMs = this.#now();
    this.#lastCallMs = nowMs;
    const { quiet, busy } = this.#tallies[call];
    if (nowMs - this.#lastWorkMs < quietMs) {
      busy.add(durationMs);
      return;
    }
    quiet.add(durationMs);
    if (quiet.count > quietMemory) quiet.halve();
    this.#lastQuietMs = nowMs;
    this.#quietSeen += 1;
  }

  /** Says that upkeep works now. */
  noteWork(): void {
    this.#lastWorkMs = this.#now();
  }

  /** What was decided last: 1 is the full rate. */
  get lastFactor(): number {
    return this.#factor;
  }

  /** The part of its rate at which upkeep may go on, 0 for a moment's pause. */
  factor(): number {
    const nowMs = this.#now();
    if (nowMs - this.#lastCallMs > idleMs) {
      for (const { busy } of Object.values(this.#tallies)) busy.clear();
      this.#factor = 1;
      return 1;
    }
    if (nowMs < this.#pauseEndMs && this.#quietSeen < minSamples) return 0;
    const isStale = nowMs - this.#lastQuietMs > renewMs && nowMs - this.#pauseEndMs > renewMs;
    if (isStale) {
      this.#pauseEndMs = nowMs + pauseMs;
      this.#quietSeen = 0;
      return 0;
    }
    if (nowMs - this.#decidedAtMs >= decideMs) this.#decide(nowMs);
    return this.#factor;
  }

  #decide(nowMs: number): void {
    let worst = 0;
    for (const { quiet, busy } of Object.values(this.#tallies)) {
      if (busy.count < minSamples || quiet.count < minSamples) continue;
      worst = Math.max(worst, busy.quantile(0.95) / Math.max(quiet.quantile(0.95), floorMs));
      busy.clear();
    }
    if (worst === 0) return;
    this.#decidedAtMs = nowMs;
    if (worst > highRatio) this.#factor = Math.max(this.#factor / 2, minFactor);
    else if (worst < lowRatio) this.#factor = Math.min(this.#factor + recoveryStep, 1);
  }
}
