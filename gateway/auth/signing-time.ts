/** The time at which a request was signed. */
export interface SigningTime {
  /** ISO 8601 basic format, such as 20130524T000000Z: what the string to sign holds. */
  readonly timestamp: string;
  readonly ms: number;
}

/** A time in ISO 8601 basic format; undefined where it is none. */
export function parseTimestamp(text: string): SigningTime | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second] = match;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? undefined : { timestamp: text, ms };
}

/** The value of a Date header: an HTTP date, or ISO 8601 basic format. */
export function parseDateHeader(text: string): SigningTime | undefined {
  const basic = parseTimestamp(text);
  if (basic) return basic;
  const ms = /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : { timestamp: formatSeconds(ms).replace(/[-:]/g, ''), ms };
}

/** ISO 8601 with whole seconds, as S3's error documents have it. */
export function formatSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
