import { md5Hex } from '../harness/pattern-bytes.ts';

/** Bytes that were written somewhere, with their ETag. */
export interface Value {
  readonly etag: string;
  readonly bytes: Buffer;
}

/** A write to a key: of a value, of nothing (a delete), or of what another key had at the time. */
export interface Write {
  readonly key: string;
  /** Absent for a copy whose answer never came. */
  content?: { readonly value: Value | undefined };
  readonly copiedFrom?: string;
  /** What such a copy may have found at its source, once that can no longer be asked. */
  copied?: readonly (Value | undefined)[];
  readonly beganAt: number;
  /** Infinite while no answer has come: then it may have happened, or not. */
  endedAt: number;
  isAcknowledged: boolean;
}

/**
 * What may be found under each key of a bucket without versions, while many write to it and the server may die at any
 * time. Moments are numbers that only ever rise.
 *
 * A write is over and gone for whoever reads after another one was acknowledged which began after it had ended. All other
 * writes that were acknowledged, or whose answer never came, are what a read may find: so two that overlap may come in
 * either order, and one in flight at a crash may have happened or not.
 */
export class Ledger {
  #moment = 0;
  readonly #writes = new Map<string, Write[]>();

  keys(): string[] {
    return [...this.#writes.keys()];
  }

  now(): number {
    return ++this.#moment;
  }

  beginWrite(key: string, content: Write['content'], copiedFrom?: string): Write {
    const write: Write = {
      key,
      ...(content && { content }),
      ...(copiedFrom !== undefined && { copiedFrom }),
      beganAt: this.now(),
      endedAt: Number.POSITIVE_INFINITY,
      isAcknowledged: false,
    };
    this.#writesOf(key).push(write);
    return write;
  }

  acknowledge(write: Write, content: Write['content'] = write.content): void {
    if (content) write.content = content;
    write.isAcknowledged = true;
    write.endedAt = this.now();
  }

  /** The server said that it did not happen. */
  refuse(write: Write): void {
    const writes = this.#writesOf(write.key);
    writes.splice(writes.indexOf(write), 1);
  }

  /** What a read of the key may find that began at `moment` and is over now; undefined stands for no object. */
  possibleValues(key: string, moment: number, seen: ReadonlySet<Write> = new Set()): (Value | undefined)[] {
    const writes = this.#writesOf(key);
    const isGone = ({ endedAt }: Write): boolean =>
      writes.some((later) => later.isAcknowledged && later.beganAt > endedAt && later.endedAt < moment);
    return writes.filter((write) => !isGone(write)).flatMap((write) => this.#valuesOf(write, seen));
  }

  /**
   * To be called after a crash, before anything is settled: works out what copies whose answers never came may have found at
   * their sources, which are not what they were once they are settled.
   */
  resolveCopies(): void {
    const open = [...this.#writes.values()]
      .flat()
      .filter(({ content, copied }) => content === undefined && copied === undefined);
    const found = open.map((write) => this.#valuesOf(write, new Set()));
    for (const [index, write] of open.entries()) write.copied = found[index]!;
  }

  /** After a crash nothing is in flight any more, and what was found now is what there is. */
  settle(key: string, value: Value | undefined): void {
    const moment = this.now();
    const write = { key, content: { value }, beganAt: moment, endedAt: moment, isAcknowledged: true };
    this.#writes.set(key, [write]);
  }

  /** What was found by `settle`, where nobody has written to the key since; undefined also where that was nothing. */
  settledValue(key: string): Value | undefined {
    const [write, ...others] = this.#writesOf(key);
    return others.length === 0 ? write?.content?.value : undefined;
  }

  #valuesOf(write: Write, seen: ReadonlySet<Write>): (Value | undefined)[] {
    if (write.content) return [write.content.value];
    if (write.copied !== undefined) return [...write.copied];
    if (write.copiedFrom === undefined || seen.has(write)) return [];
    return this.possibleValues(write.copiedFrom, write.beganAt, new Set([...seen, write]));
  }

  #writesOf(key: string): Write[] {
    let writes = this.#writes.get(key);
    if (writes === undefined) {
      writes = [{ key, content: { value: undefined }, beganAt: 0, endedAt: 0, isAcknowledged: true }];
      this.#writes.set(key, writes);
    }
    return writes;
  }
}

export function toValue(bytes: Buffer): Value {
  return { etag: md5Hex(bytes), bytes };
}
