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

interface Write {
  readonly value: Value;
  readonly startedAt: number;
  /** Infinite while it is under way, and for ever where nobody knows what became of it. */
  endedAt: number;
}

/** Counts what happens, so that of two things it can be told whether one was over before the other began. */
export class Ticks {
  #now = 0;

  next(): number {
    return ++this.#now;
  }
}

/** What one key may hold, while writes to it overlap: each write takes effect at some moment between its beginning and its end. */
export class ValueHistory {
  readonly #ticks: Ticks;
  #writes: Write[] = [{ value: absent, startedAt: 0, endedAt: 0 }];
  /** When the reads under way began. */
  readonly #reads = new Set<{ readonly startedAt: number }>();

  constructor(ticks: Ticks) {
    this.#ticks = ticks;
  }

  /** A write begins. */
  begin(value: Value): Write {
    const write = { value, startedAt: this.#ticks.next(), endedAt: Number.POSITIVE_INFINITY };
    this.#writes.push(write);
    return write;
  }

  /** It was acknowledged. */
  end(write: Write): void {
    write.endedAt = this.#ticks.next();
    const oldestRead = Math.min(...Array.from(this.#reads, ({ startedAt }) => startedAt), write.endedAt);
    this.#writes = this.#writes.filter((each) => !this.#isReplaced(each, oldestRead));
  }

  /** It was refused, and so changed nothing. */
  refuse(write: Write): void {
    this.#writes = this.#writes.filter((each) => each !== write);
  }

  /** A read begins. Returns what it may find, to be asked for when it is over. */
  beginRead(): () => Value[] {
    const read = { startedAt: this.#ticks.next() };
    this.#reads.add(read);
    return () => {
      this.#reads.delete(read);
      const endedAt = this.#ticks.next();
      return this.#writes
        .filter((write) => write.startedAt < endedAt && !this.#isReplaced(write, read.startedAt))
        .map(({ value }) => value);
    };
  }

  /** Nobody writes, and this is what it holds. */
  settle(value: Value): void {
    this.#writes = [{ value, startedAt: 0, endedAt: 0 }];
  }

  /** Whether another write began after it had ended, and was over before that moment. */
  #isReplaced(write: Write, before: number): boolean {
    return this.#writes.some((other) => other.startedAt > write.endedAt && other.endedAt <= before);
  }
}
