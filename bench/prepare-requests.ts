import { randomBytes } from 'node:crypto';
import { type BenchCase, maxRangeBytes, pageKeys } from './bench-case.ts';
import { type Access, HeadSigner, type UnsignedRequest } from './head-signer.ts';
import type { Answer } from './http-connection.ts';
import type { PreparedRequest } from './load.ts';
import type { Pace } from './pace.ts';

const MiB = 2 ** 20;
/** Keys of a page in a mix of requests. */
const mixedPageKeys = 100;
/** Of twenty requests of a mix: 14 GETs (70 %), 4 PUTs (20 %), a page of a listing and a DELETE (5 % each), spread evenly. */
const mix = 'GPGGGLGGPGGGPGGDGGPG';
/** What is deleted was written so many PUTs before, so that it is there whatever overtakes what. */
const deleteLag = 32;

type Kind = 'put' | 'get' | 'range' | 'list' | 'delete';

const isRightStatus: Readonly<Record<Kind, number>> = { put: 200, get: 200, range: 206, list: 200, delete: 204 };

/** What a case sends: first to fill the bucket, then as its load. */
export interface PreparedCase {
  readonly fill: readonly PreparedRequest[];
  readonly load: readonly PreparedRequest[];
}

/**
 * Makes the requests of a case, under keys that begin with its name. They are signed beforehand, so that the clock sees no
 * signing, unless the client is to sign as it goes.
 *
 * @param bucket that is there
 */
export function prepareRequests(
  benchCase: BenchCase,
  { access, bucket, pace }: { access: Access; bucket: string; pace: Pace },
): PreparedCase {
  const { name, operation, bytes } = benchCase;
  const { stored, sent } = countRequests(benchCase, pace);
  const signer = new HeadSigner(access);
  const content = randomBytes(bytes);
  const prepare = (kind: Kind, unsigned: UnsignedRequest, answerBytes: number): PreparedRequest => {
    const sign = (): Buffer => signer.sign(unsigned);
    return {
      name: `${unsigned.method} ${unsigned.path}`,
      head: pace.isSigningLive ? sign : sign(),
      body: kind === 'put' ? content : undefined,
      isRight: expect(kind, answerBytes),
    };
  };
  const pathOf = (key: string): string => `/${bucket}/${name}/${key}`;
  const keyOf = (index: number): string => String(index).padStart(6, '0');
  const put = (key: string) => prepare('put', { method: 'PUT', path: pathOf(key), bodyBytes: bytes }, 0);
  const get = (key: string) => prepare('get', { method: 'GET', path: pathOf(key), bodyBytes: 0 }, bytes);
  const remove = (key: string) => prepare('delete', { method: 'DELETE', path: pathOf(key), bodyBytes: 0 }, 0);
  const range = (key: string, turn: number): PreparedRequest => {
    const length = Math.min(bytes / 4, maxRangeBytes);
    // Anywhere, and as a rule not where a block begins.
    const first = Math.floor(((turn * 0.618_034) % 1) * (bytes - length));
    const unsigned = { method: 'GET', path: pathOf(key), bodyBytes: 0, range: [first, first + length - 1] } as const;
    return prepare('range', unsigned, length);
  };
  const list = (after: number, keys: number): PreparedRequest => {
    const start = encodeURIComponent(`${name}/${keyOf(after)}`);
    const query = `list-type=2&max-keys=${keys}&prefix=${encodeURIComponent(`${name}/`)}&start-after=${start}`;
    return prepare('list', { method: 'GET', path: `/${bucket}`, query, bodyBytes: 0 }, Math.min(keys, stored));
  };
  const fill = Array.from({ length: stored }, (_, index) => put(keyOf(index)));
  const load = Array.from({ length: sent }, (_, index): PreparedRequest => {
    if (operation === 'put') return put(keyOf(index));
    if (operation === 'get') return get(keyOf(index % stored));
    if (operation === 'range') return range(keyOf(index % stored), index);
    if (operation === 'list') return list((index * pageKeys) % (stored - pageKeys), pageKeys);
    const round = Math.floor(index / mix.length);
    const letter = mix[index % mix.length];
    const puts = round * 4 + [...mix.slice(0, index % mix.length)].filter((one) => one === 'P').length;
    if (letter === 'P') return put(`new/${keyOf(puts)}`);
    if (letter === 'D') return remove(`new/${keyOf(Math.max(0, puts - deleteLag))}`);
    return letter === 'G' ? get(keyOf((index * 7) % stored)) : list(0, mixedPageKeys);
  });
  return { fill, load };
}

/**
 * How many objects are there beforehand, and how many requests take turns: of a PUT that comes round again, which then
 * overwrites, about as many as a case sends.
 */
function countRequests(
  { operation, bytes }: BenchCase,
  { isQuick, maxObjects }: Pace,
): { stored: number; sent: number } {
  if (operation === 'list') {
    const stored = isQuick ? 4 * pageKeys : 10 * pageKeys;
    return { stored, sent: stored / pageKeys };
  }
  const budgetBytes = (isQuick ? 512 : 2048) * MiB;
  const written = Math.max(32, Math.min(isQuick ? 8192 : 65_536, budgetBytes / bytes));
  if (operation === 'put') return { stored: 0, sent: written };
  // What is read: as much as a cache holds and more, but for the smallest, which are meant to be read again and again.
  const stored = Math.max(4, Math.min(maxObjects, (64 * MiB) / bytes));
  return { stored, sent: operation === 'mixed' ? Math.max(1280, Math.min(written * 5, 40_000)) : stored * 4 };
}

function expect(kind: Kind, bytes: number): (answer: Answer) => boolean {
  const status = isRightStatus[kind];
  // Entries of a listing differ in length from server to server; each has at least a key, a date, an ETag and a size.
  if (kind === 'list') return (answer) => answer.status === status && answer.bodyBytes > bytes * 100;
  if (kind === 'put') return (answer) => answer.status === status;
  return (answer) => answer.status === status && answer.bodyBytes === bytes;
}
