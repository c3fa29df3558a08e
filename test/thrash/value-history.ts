import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';

/** What a key may hold: bytes that can be made again, or nothing. */
export interface Value {
  /** As the engine gives it; undefined for no object. */
  readonly etag: string | undefined;
  readonly sizeBytes: number;
  bytes(): Buffer;
}

export const absent: Value = { etag: undefined, sizeBytes: 0, bytes: () => Buffer.alloc(0) };

/** @param parts lengths of the parts of an upload; undefined for a plain object */
export function makeValue(name: string, sizeBytes: number, parts?: readonly number[]): Value {
  const bytes = (): Buffer => patternBytes(sizeBytes, name);
  const whole = bytes();
  if (parts === undefined) return { etag: md5Hex(whole), sizeBytes, bytes };
  const digests: string[] = [];
  for (let at = 0, index = 0; index < parts.length; at += parts[index++]!) {
    digests.push(md5Hex(whole.subarray(at, at + parts[index]!)));
  }
  return { etag: `${md5Hex(Buffer.from(digests.join(''), 'hex'))}-${parts.length}`, sizeBytes, bytes };
}

/** A write as a client sees it. */
export interface Write {
  /** What it wrote, or while nobody knows yet what it copied, all that it may have. */
  values: () => readonly Value[];
  readonly startedAt: number;
  /** Infinite while it is under way, and for ever where nobody knows what became of it. */
  endedAt: number;
  /** By the clock of the gateway. */
  endedAtMs: number;
  isRefused: boolean;
}

/** A read of a key while it is under way. */
export interface Read {
  /** What it may have found by now. */
  list(): Value[];
  /** It is over. Returns what it may have found. */
  end(): Value[];
}

/** Counts what happens, so that of two things it can be told whether one was over before the other began. */
export class Ticks {
  #now = 0;

  next(): number {
    return ++this.#now;
  }
}

/**
 * What one key may hold, while writes to it overlap: each write takes effect at some moment between its beginning and its end.
 *
 * Where the gateway's disk can be lost, deletes that are not in the journal may be undone, and writes that were refused may turn up.
 */
export class ValueHistory {
  readonly #ticks: Ticks;
  readonly #journaledMs: () => number;
  #writes: Write[] = [settled(absent)];
  /** When the reads under way began. */
  readonly #reads = new Set<{ readonly startedAt: number }>();

  /** @param journaledMs what ended before this moment cannot be undone by the loss of a disk; nothing can unless given */
  constructor(ticks: Ticks, journaledMs: () => number = () => Number.POSITIVE_INFINITY) {
    this.#ticks = ticks;
    this.#journaledMs = journaledMs;
  }

  /** A write begins. @param value what it writes, or for a copy whatever that may turn out to be */
  begin(value: Value | (() => readonly Value[])): Write {
    const values = typeof value === 'function' ? value : () => [value];
    const endedAt = Number.POSITIVE_INFINITY;
    const write = { values, startedAt: this.#ticks.next(), endedAt, endedAtMs: endedAt, isRefused: false };
    this.#writes.push(write);
    return write;
  }

  /** It was acknowledged. */
  end(write: Write, nowMs = 0): void {
    write.endedAt = this.#ticks.next();
    write.endedAtMs = nowMs;
    this.#prune();
  }

  /** It was refused, and so changed nothing. */
  refuse(write: Write, nowMs = 0): void {
    write.isRefused = true;
    this.end(write, nowMs);
  }

  /** Nobody knows what became of it, or ever will. */
  doubt(write: Write): void {
    const values = write.values();
    write.values = () => values;
  }

  /** A read begins. */
  beginRead(): Read {
    const read = { startedAt: this.#ticks.next() };
    this.#reads.add(read);
    const list = (): Value[] => this.#listPossible(read.startedAt, (write) => !write.isRefused);
    return {
      list,
      end: () => {
        this.#reads.delete(read);
        return list();
      },
    };
  }

  /** What it may hold once the disk was lost, while nobody writes. */
  listAfterLoss(): Value[] {
    return this.#listPossible(this.#ticks.next(), (write) => this.#isFirm(write), true);
  }

  /** Nobody writes, and this is what it holds. */
  settle(value: Value): void {
    this.#writes = [settled(value)];
  }

  /** @param counts which writes replace others */
  #listPossible(before: number, counts: (write: Write) => boolean, isRefusedToo = false): Value[] {
    return this.#writes
      .filter((write) => (isRefusedToo || !write.isRefused) && !this.#isReplaced(write, before, counts))
      .flatMap((write) => write.values());
  }

  #prune(): void {
    const oldestRead = Math.min(...Array.from(this.#reads, ({ startedAt }) => startedAt), this.#ticks.next());
    const journaledMs = this.#journaledMs();
    this.#writes = this.#writes.filter(
      (each) =>
        !(each.isRefused && each.endedAtMs < journaledMs) &&
        !this.#isReplaced(each, oldestRead, (write) => this.#isFirm(write)),
    );
  }

  /** Whether it stays, whatever is lost. */
  #isFirm(write: Write): boolean {
    if (write.isRefused) return false;
    return write.endedAtMs < this.#journaledMs() || write.values().every(({ etag }) => etag !== undefined);
  }

  /** Whether another write that counts began after it had ended, and was over before that moment. */
  #isReplaced(write: Write, before: number, counts: (write: Write) => boolean): boolean {
    return this.#writes.some((other) => other.startedAt > write.endedAt && other.endedAt <= before && counts(other));
  }
}

function settled(value: Value): Write {
  return { values: () => [value], startedAt: 0, endedAt: 0, endedAtMs: Number.NEGATIVE_INFINITY, isRefused: false };
}
