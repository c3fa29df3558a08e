import { type Column, renderNumber, renderRows } from './render-table.ts';
import type { ProfileShare, ProfileSummary } from './summarize-profile.ts';

/** With fewer, what is done for a request as a whole outweighs what is done for its bytes. */
const leastBytesForCycles = 64 * 1024;

/** What was sent while the profile was taken, and what it cost. */
export interface ProfiledLoad {
  readonly requests: number;
  readonly bytes: number;
  /** CPU time of the thread that the profile is of, for a request. */
  readonly mainThreadMicros: number;
  readonly clockHz: number;
}

/**
 * Where the time of a request goes: microseconds of the main thread, and of large bodies cycles a byte. A profile counts the time that
 * goes by, also where other processes have the core; so its shares are taken of the CPU time that the system counted.
 */
export function renderProfile(name: string, summary: ProfileSummary, load: ProfiledLoad): string {
  const { requests, bytes, mainThreadMicros, clockHz } = load;
  const cyclesPerByte = (mainThreadMicros * requests * (clockHz / 1e6)) / bytes;
  const columns: Column<ProfileShare>[] = [
    ['self time', ({ share }) => `${(share * 100).toFixed(1)} %`],
    ['us a request', ({ share }) => renderNumber(share * mainThreadMicros)],
  ];
  if (bytes / requests >= leastBytesForCycles)
    columns.push(['cycles a byte', ({ share }) => renderNumber(share * cyclesPerByte)]);
  const table = (title: string, shares: readonly ProfileShare[]): string =>
    renderRows(shares, [[title, (share) => share.name], ...columns]);
  const whole = { name: 'all', share: 1 };
  return (
    `#### ${name}: main thread, ${requests} requests\n\n` +
    `${table('area', [whole, ...summary.areas])}\n${table('function', summary.functions)}`
  );
}
