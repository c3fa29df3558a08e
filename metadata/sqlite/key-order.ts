/**
 * The order of keys: by the bytes of their UTF-8 form, which is the order of their code points. It is SQLite's own
 * order for text, but not JavaScript's, where `<` compares UTF-16 units. Strings must be well formed.
 */

const lastCodePoint = 0x10ffff;

/** Stands after every key, since a key has at most 1,024 bytes and no code point takes more than four. */
export const endOfKeys = String.fromCodePoint(lastCodePoint).repeat(257);

/** Negative, 0 or positive as `a` stands before, at or after `b`. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** The smallest string greater than `key`. */
export function nextKey(key: string): string {
  return `${key}\0`;
}

/** The smallest string greater than every key that starts with `prefix`. */
export function keyPastPrefix(prefix: string): string {
  const points = Array.from(prefix);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0)!;
    if (point === lastCodePoint) continue;
    // Surrogates are no code points of a well-formed string.
    const next = point === 0xd7ff ? 0xe000 : point + 1;
    return points.join('') + String.fromCodePoint(next);
  }
  return endOfKeys;
}

/** The common prefix that `key` rolls up into: up to and including the first delimiter after the prefix. */
export function commonPrefixOf(key: string, prefix: string, delimiter: string | undefined): string | undefined {
  if (!delimiter || !key.startsWith(prefix)) return undefined;
  const at = key.indexOf(delimiter, prefix.length);
  return at === -1 ? undefined : key.slice(0, at + delimiter.length);
}
