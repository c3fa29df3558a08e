import type { Clock } from '../core/clock.ts';
import { LatencyHistogram } from './latency-histogram.ts';

/** Kinds of calls whose times can be compared. A read's time depends on its length, so there are two. */
export const callKinds = ['read-small', 'read-large', 'write'] as const;
export type CallKind = (typeof callKinds)[number];

/** The longest read that counts as small. */
export const smallReadBytes = 64 * 1024;

export function readKind(bytes: number): CallKind {
  return bytes <= smallReadBytes ? 'read-small' : 'read-large';
}

/** Fewer observations than this say nothing. */
const minObservations = 8;
const minQuantileObservations = 20;
/** A provider is slow whose calls take so many times as long as those of its peers, and normal again below the second. */
const slowFactor = 3;
const normalFactor = 2;
/** Differences below this are not worth a detour. */
const leastGapMs: Readonly<Record<CallKind, number>> = { 'read-small': 5, 'read-large': 5, write: 50 };
/** How much a new observation weighs in what is typical. */
const newWeight = 1 / 8;
/** What ends at about the same moment counts once: when this process was busy, all that came meanwhile seems to have taken long. */
const minGapMs = 5;
/** A call that was late would have taken longer by some: it is taken for so many times what it took so far. */
const lateFactor = 3;
/** How long a slow provider is left alone before it is tried again; doubled each time, up to the second. */
const firstRestMs = 1_000;
const maxRestMs = 30_000;

/**
 * How fast one provider answers calls of one kind, and whether it is so much slower than its peers that they should be asked in its
 * place. One that is slow is left alone for a while; then one call at a time may show that it is well again.
 */
export class CallPace {
  readonly #kind: CallKind;
  readonly #clock: Clock;
  readonly #histogram = new LatencyHistogram();
  #observations = 0;
  /** The logarithm of a mean that follows the last dozen calls; one that takes ten times as long moves it by a third. */
  #typicalLog = 0;
  #followedAtMs = Number.NEGATIVE_INFINITY;
  #isSlow = false;
  #restsSinceMs = 0;
  #restMs = 0;
  #wellSinceMs = Number.NEGATIVE_INFINITY;

  constructor(kind: CallKind, clock: Clock) {
    this.#kind = kind;
    this.#clock = clock;
  }

  /** What a call takes as a rule; undefined while too little is known. */
  get typicalMs(): number | undefined {
    return this.#observations < minObservations ? undefined : Math.exp(this.#typicalLog);
  }

  /** What that share of the last few hundred calls took at most; undefined while too little is known. */
  quantileMs(share: number): number | undefined {
    return this.#histogram.weight < minQuantileObservations ? undefined : this.#histogram.quantile(share);
  }

  get isSlow(): boolean {
    return this.#isSlow;
  }

  /** Whether it is slow, and was left alone for so long that a call may try it. */
  get isOnTrial(): boolean {
    if (!this.#isSlow) return false;
    const ageMs = this.#clock.now() - this.#restsSinceMs;
    return ageMs < 0 || ageMs >= this.#restMs;
  }

  /** @param peersMs what is typical of the providers together; undefined while too little is known */
  finish(ms: number, peersMs: number | undefined): void {
    this.#histogram.add(ms);
    if (this.isOnTrial) this.#judgeTrial(ms, peersMs);
    this.#follow(ms);
    this.#judge(peersMs);
  }

  /** A call has taken so long that it is no longer counted on. It may still end, and be told to `finish` then. */
  late(ms: number, peersMs: number | undefined): void {
    if (this.isOnTrial) this.#rest();
    this.#follow(ms * lateFactor);
    this.#judge(peersMs);
  }

  #follow(ms: number): void {
    const nowMs = this.#clock.now();
    if (Math.abs(nowMs - this.#followedAtMs) < minGapMs) return;
    this.#followedAtMs = nowMs;
    const log = Math.log(Math.max(ms, 1e-3));
    this.#observations += 1;
    this.#typicalLog += (log - this.#typicalLog) * Math.max(newWeight, 1 / this.#observations);
  }

  #judge(peersMs: number | undefined): void {
    const { typicalMs } = this;
    if (typicalMs === undefined || peersMs === undefined) return;
    const isSlow = typicalMs > peersMs * slowFactor && typicalMs - peersMs > leastGapMs[this.#kind];
    if (isSlow && !this.#isSlow) this.#rest();
    else if (this.#isSlow && typicalMs < peersMs * normalFactor) this.#recover();
  }

  #judgeTrial(ms: number, peersMs: number | undefined): void {
    if (peersMs !== undefined && ms > Math.max(peersMs * normalFactor, leastGapMs[this.#kind])) {
      this.#rest();
    } else {
      // What it was like before is not held against it.
      this.#typicalLog = Math.log(Math.max(ms, 1e-3));
      this.#recover();
    }
  }

  #rest(): void {
    const nowMs = this.#clock.now();
    const isFresh = !this.#isSlow && nowMs - this.#wellSinceMs > maxRestMs;
    this.#restMs = isFresh ? firstRestMs : Math.min(Math.max(this.#restMs * 2, firstRestMs), maxRestMs);
    this.#restsSinceMs = nowMs;
    this.#isSlow = true;
  }

  #recover(): void {
    this.#isSlow = false;
    this.#wellSinceMs = this.#clock.now();
  }
}
