/** Dates that were written lately, by second: to make one takes as long as all other headers of an answer. */
const written = new Map<number, string>();
const maxWritten = 1024;

/** An HTTP date (RFC 9110, section 5.6.7), whole seconds. */
export function formatHttpDate(ms: number): string {
  const second = Math.floor(ms / 1000);
  const known = written.get(second);
  if (known !== undefined) return known;
  const text = new Date(ms).toUTCString();
  if (written.size >= maxWritten) written.clear();
  written.set(second, text);
  return text;
}

/** Milliseconds of an HTTP date; undefined where the text is none, which RFC 9110 says to ignore. */
export function parseHttpDate(text: string): number | undefined {
  // Date.parse takes all three forms of RFC 9110, and ISO 8601, which AWS takes as well.
  const ms = /^[A-Za-z]{3,9},? |^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
