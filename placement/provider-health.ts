import type { Clock } from '../core/clock.ts';
import type { ProviderId } from '../core/model.ts';
import { type CallKind, CallPace, callKinds } from './call-pace.ts';
import { type BreakerState, CircuitBreaker } from './circuit-breaker.ts';

/** How long a provider that was full is not asked to take new data, unless a write to it goes well before. */
const fullMs = 30_000;
const maxOpenFactor = 6;
/** What is typical of all is looked up anew after so many calls. */
const medianInterval = 32;
/** With fewer providers to compare, none is slow. */
const minPeers = 3;

interface Peers {
  medianMs: number | undefined;
  /** Calls until the next look. */
  left: number;
}

/**
 * How each provider does: a circuit breaker, and how fast it answers. All of it is a hint, and lies in memory only: it decides
 * who is asked first, never whether a shard counts as there.
 */
export class ProviderHealth {
  readonly #clock: Clock;
  readonly #suspectMs: number;
  readonly #maxOpenMs: number;
  readonly #random: () => number;
  readonly #vitals = new Map<ProviderId, ProviderVitals>();
  readonly #peers: Readonly<Record<CallKind, Peers>> = {
    'read-small': { medianMs: undefined, left: 0 },
    'read-large': { medianMs: undefined, left: 0 },
    write: { medianMs: undefined, left: 0 },
  };
  #failureCount = 0;

  /**
   * @param setting.suspectMs how long one failure is held against a provider, and its breaker stays open at first; 0: never
   * @param setting.maxOpenMs the longest that a breaker stays open before a trial; six times `suspectMs` unless given
   * @param setting.random from 0 to 1; tests give their own
   */
  constructor(setting: { clock: Clock; suspectMs: number; maxOpenMs?: number; random?: () => number }) {
    this.#clock = setting.clock;
    this.#suspectMs = setting.suspectMs;
    this.#maxOpenMs = setting.maxOpenMs ?? setting.suspectMs * maxOpenFactor;
    this.#random = setting.random ?? Math.random;
  }

  /** What is known of a provider; to be kept by whoever tells of its calls. */
  of(id: ProviderId): ProviderVitals {
    let vitals = this.#vitals.get(id);
    if (vitals === undefined) {
      const [clock, suspectMs, maxOpenMs, random] = [this.#clock, this.#suspectMs, this.#maxOpenMs, this.#random];
      const nextFailure = (): number => ++this.#failureCount;
      const peersMs = (kind: CallKind): number | undefined => this.#peersMs(kind);
      vitals = new ProviderVitals({ clock, suspectMs, maxOpenMs, random, nextFailure, peersMs });
      this.#vitals.set(id, vitals);
    }
    return vitals;
  }

  /** Drops what is known of a provider that left the fleet. */
  forget(id: ProviderId): void {
    this.#vitals.delete(id);
  }

  /** A mark of this moment, taken when a call starts, for `recordSuccess`. */
  mark(): number {
    return this.#failureCount;
  }

  /**
   * Ends suspicion, unless the provider failed after `startMark`: a call that began before it fell ill and ended well
   * says nothing of how it is now.
   */
  recordSuccess(id: ProviderId, startMark: number = this.#failureCount): void {
    this.of(id).succeed(startMark);
  }

  /** @param hung whether the call was given up since there was no answer */
  recordFailure(id: ProviderId, hung = false): void {
    this.of(id).fail(hung);
  }

  /** Whether the provider failed or hung so recently that others should be asked first. */
  isSuspect(id: ProviderId): boolean {
    return this.#vitals.get(id)?.isSuspect ?? false;
  }

  /** Whether it refused data for want of space, or because it takes none, so recently that others should be asked first to take some. */
  isFull(id: ProviderId): boolean {
    return this.#vitals.get(id)?.isFull ?? false;
  }

  /** Whether its peers answer calls of this kind so much faster that they should be asked in its place. */
  isSlow(id: ProviderId, kind: CallKind): boolean {
    return this.#vitals.get(id)?.isSlow(kind) ?? false;
  }

  state(id: ProviderId): BreakerState {
    return this.#vitals.get(id)?.state ?? 'closed';
  }

  /** When the failures began that opened its breaker, by the clock; undefined while that is closed. */
  downSinceMs(id: ProviderId): number | undefined {
    return this.#vitals.get(id)?.downSinceMs;
  }

  /** Says since when a provider was down before a restart: that counts, unless it answers a call first. */
  resumeDown(id: ProviderId, sinceMs: number): void {
    this.of(id).resumeDown(sinceMs);
  }

  /** How gladly new data goes to a provider, least first: 0 for one that is well, more for one that is slow, full or fails. */
  writeRank(id: ProviderId): number {
    const vitals = this.#vitals.get(id);
    if (vitals === undefined) return 0;
    if (vitals.isSuspect) return 3;
    if (vitals.isFull) return 2;
    return vitals.isSlow('write') ? 1 : 0;
  }

  /** What is typical of the providers together: the median. */
  #peersMs(kind: CallKind): number | undefined {
    const peers = this.#peers[kind];
    peers.left -= 1;
    if (peers.left < 0) {
      peers.left = medianInterval;
      const typical: number[] = [];
      for (const vitals of this.#vitals.values()) {
        const ms = vitals.typicalMs(kind);
        if (ms !== undefined) typical.push(ms);
      }
      typical.sort((a, b) => a - b);
      peers.medianMs = typical.length < minPeers ? undefined : typical[(typical.length - 1) >> 1];
    }
    return peers.medianMs;
  }
}

interface VitalsSetting {
  readonly clock: Clock;
  readonly suspectMs: number;
  readonly maxOpenMs: number;
  readonly random: () => number;
  readonly nextFailure: () => number;
  readonly peersMs: (kind: CallKind) => number | undefined;
}

/** What is known of one provider. */
export class ProviderVitals {
  readonly #setting: VitalsSetting;
  readonly #breaker: CircuitBreaker;
  readonly #paces: Readonly<Record<CallKind, CallPace>>;
  #lastFailure = 0;
  #fullAtMs: number | undefined;
  #answeredAtMs: number;

  constructor(setting: VitalsSetting) {
    this.#setting = setting;
    this.#breaker = new CircuitBreaker(setting);
    const paces = callKinds.map((kind) => [kind, new CallPace(kind, setting.clock)]);
    this.#paces = Object.fromEntries(paces) as Record<CallKind, CallPace>;
    this.#answeredAtMs = setting.clock.now();
  }

  get isSuspect(): boolean {
    return this.#breaker.isSuspect;
  }

  get state(): BreakerState {
    return this.#breaker.state;
  }

  get downSinceMs(): number | undefined {
    return this.#breaker.downSinceMs;
  }

  resumeDown(sinceMs: number): void {
    this.#breaker.resumeDown(sinceMs);
  }

  get isFull(): boolean {
    if (this.#fullAtMs === undefined) return false;
    const ageMs = this.#setting.clock.now() - this.#fullAtMs;
    return ageMs >= 0 && ageMs < fullMs;
  }

  isSlow(kind: CallKind): boolean {
    const pace = this.#paces[kind];
    return pace.isSlow && (!pace.isOnTrial || this.#breaker.trials > 0);
  }

  /** What a call of this kind takes as a rule, in milliseconds; undefined while too little is known. */
  typicalMs(kind: CallKind): number | undefined {
    return this.#paces[kind].typicalMs;
  }

  /** What that share of the last calls of this kind took at most, in milliseconds; undefined while too little is known. */
  quantileMs(kind: CallKind, share: number): number | undefined {
    return this.#paces[kind].quantileMs(share);
  }

  /** Whether somebody should see how it is: its breaker is to half-open, or nothing was heard of it for `idleMs`. */
  needsProbe(leadMs: number, idleMs: number): boolean {
    if (this.#breaker.state !== 'closed') return this.#breaker.isTrialDue(leadMs);
    return this.#setting.clock.now() - this.#answeredAtMs >= idleMs;
  }

  /** Says that a call begins. Returns whether it is a trial, which `endTrial` must end. */
  begin(kind: CallKind | undefined): boolean {
    const isTrial = this.#breaker.state === 'half-open' || (kind !== undefined && this.#paces[kind].isOnTrial);
    if (isTrial) this.beginTrial();
    return isTrial;
  }

  /** Until `endTrial`, nobody else is to try the provider while it is down or slow. */
  beginTrial(): void {
    this.#breaker.beginTrial();
  }

  endTrial(): void {
    this.#breaker.endTrial();
  }

  succeed(startMark: number): void {
    this.#answeredAtMs = this.#setting.clock.now();
    if (startMark >= this.#lastFailure) this.#breaker.succeed();
  }

  fail(hung: boolean): void {
    this.#lastFailure = this.#setting.nextFailure();
    this.#breaker.fail(hung);
  }

  /** A call of this kind went well and took so long. */
  finish(kind: CallKind, ms: number): void {
    this.#paces[kind].finish(ms, this.#setting.peersMs(kind));
    if (kind === 'write') this.#fullAtMs = undefined;
  }

  /** A call of this kind takes so long that it is no longer counted on; it may still end. */
  late(kind: CallKind, ms: number): void {
    this.#paces[kind].late(ms, this.#setting.peersMs(kind));
    if (this.#breaker.state === 'half-open') this.fail(true);
  }

  /** It refused data for want of space, or because it takes none. */
  refuse(): void {
    this.#fullAtMs = this.#setting.clock.now();
  }
}
