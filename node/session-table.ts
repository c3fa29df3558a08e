/** Of each session, so many of the newest sequence numbers are told apart; older ones count as seen. */
const windowSize = 2 ** 17;
/** A session takes 16 KiB. Gateways have one each; those of gateways that were restarted stay for a few minutes. */
const maxSessions = 1024;

interface Session {
  /** One bit a number, at its remainder. */
  readonly seen: Uint8Array;
  highest: number;
  lastDateMs: number;
}

/**
 * Knows every request that was admitted for as long as its date would still be accepted, in bounded memory: a session's
 * requests are numbered, and a sliding window of bits says which numbers came (as in RFC 4303, section 3.4.3). A session is
 * forgotten only when none of its requests would pass by their date.
 */
export class SessionTable {
  readonly #dateWindowMs: number;
  readonly #sessions = new Map<string, Session>();
  /** The newest date in any session that was forgotten. A clock that is set back must not make those requests new. */
  #forgottenUntilMs = Number.NEGATIVE_INFINITY;

  constructor(parts: { dateWindowMs: number }) {
    this.#dateWindowMs = parts.dateWindowMs;
  }

  /** Takes note of a request whose signature and date are good. */
  admit(request: { name: string; sequence: number; dateMs: number; nowMs: number }): 'admitted' | 'replayed' | 'full' {
    const { name, sequence, dateMs, nowMs } = request;
    let session = this.#sessions.get(name);
    if (session === undefined) {
      if (this.#sessions.size >= maxSessions) this.#forget(nowMs);
      if (this.#sessions.size >= maxSessions) return 'full';
      if (dateMs <= this.#forgottenUntilMs) return 'replayed';
      session = { seen: new Uint8Array(windowSize / 8), highest: -1, lastDateMs: dateMs };
      this.#sessions.set(name, session);
    }
    if (sequence <= session.highest - windowSize) return 'replayed';
    if (sequence > session.highest) advance(session, sequence);
    const slot = sequence % windowSize;
    const bit = 1 << (slot & 7);
    if ((session.seen[slot >> 3]! & bit) !== 0) return 'replayed';
    session.seen[slot >> 3]! |= bit;
    session.lastDateMs = Math.max(session.lastDateMs, dateMs);
    return 'admitted';
  }

  #forget(nowMs: number): void {
    for (const [name, { lastDateMs }] of this.#sessions) {
      if (nowMs - lastDateMs <= this.#dateWindowMs) continue;
      this.#sessions.delete(name);
      this.#forgottenUntilMs = Math.max(this.#forgottenUntilMs, lastDateMs);
    }
  }
}

/** Moves the window up to `sequence`; the numbers that come into it were not seen. */
function advance(session: Session, sequence: number): void {
  const first = session.highest + 1;
  if (sequence - first >= windowSize) session.seen.fill(0);
  else
    for (let at = first; at <= sequence; at++) session.seen[(at % windowSize) >> 3]! &= ~(1 << ((at % windowSize) & 7));
  session.highest = sequence;
}
