import type { CodecResult } from './codec.ts';
import type { CaseResult } from './compare-servers.ts';
import type { Spread } from './statistics.ts';
import type { ProfileSummary } from './summarize-profile.ts';

/** Markdown, so that a run can be pasted into docs/performance.md. */
export function renderCases(results: readonly CaseResult[]): string {
  const head = [
    ...['case', 'null /s', 'file /s', 'appends /s', 'file per shard /s', 'gateway /s', 'MiB/s'],
    ...['ratio to null', 'to file', 'to appends', 'to file per shard'],
    ...['p50 ms', 'p99 ms', 'CPU ms/request', 'CPU s/GiB', 'file CPU s/GiB', 'client CPU ms/request'],
  ];
  const rows = results.map(({ name, servers, ratios, clientCpuMsPerRequest }) => {
    const { gateway } = servers;
    return [
      name,
      number(servers.null?.requestsPerSecond.median),
      number(servers.file?.requestsPerSecond.median),
      number(servers.appends?.requestsPerSecond.median),
      number(servers.fileShards?.requestsPerSecond.median),
      number(gateway?.requestsPerSecond.median),
      number(gateway?.mebibytesPerSecond.median),
      spread(ratios.null),
      spread(ratios.file),
      spread(ratios.appends),
      spread(ratios.fileShards),
      number(gateway?.latencyMs.p50),
      number(gateway?.latencyMs.p99),
      number(gateway?.cpuMsPerRequest),
      number(gateway?.cpuSecondsPerGibibyte),
      number(servers.file?.cpuSecondsPerGibibyte),
      number(clientCpuMsPerRequest),
    ];
  });
  return renderTable(head, rows);
}

export function renderCodecs(results: readonly CodecResult[]): string {
  const rows = results.map(({ codec, call, blockBytes, megabytesPerSecond }) => [
    `${codec}: ${call}`,
    `${blockBytes / 1024} KiB`,
    spread(megabytesPerSecond),
  ]);
  return renderTable(['codec, RS 4+2', 'block', 'MB/s of data'], rows);
}

export function renderProfile(name: string, summary: ProfileSummary): string {
  const shares = (list: ProfileSummary['areas']): string[][] =>
    list.map((item) => [item.name, `${(item.share * 100).toFixed(1)} %`]);
  const title = `${name}: ${summary.busySeconds.toFixed(1)} s of the main thread, start-up included`;
  return `${title}\n\n${renderTable(['area', 'self time'], shares(summary.areas))}\n${renderTable(['function', 'self time'], shares(summary.functions))}`;
}

function spread(value: Spread | undefined): string {
  return value === undefined ? '' : `${number(value.median)} (${number(value.min)} to ${number(value.max)})`;
}

/** Three significant digits: no run repeats to more. */
function number(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
