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
      renderNumber(servers.null?.requestsPerSecond.median),
      renderNumber(servers.file?.requestsPerSecond.median),
      renderNumber(servers.appends?.requestsPerSecond.median),
      renderNumber(servers.fileShards?.requestsPerSecond.median),
      renderNumber(gateway?.requestsPerSecond.median),
      renderNumber(gateway?.mebibytesPerSecond.median),
      renderSpread(ratios.null),
      renderSpread(ratios.file),
      renderSpread(ratios.appends),
      renderSpread(ratios.fileShards),
      renderNumber(gateway?.latencyMs.p50),
      renderNumber(gateway?.latencyMs.p99),
      renderNumber(gateway?.cpuMsPerRequest),
      renderNumber(gateway?.cpuSecondsPerGibibyte),
      renderNumber(servers.file?.cpuSecondsPerGibibyte),
      renderNumber(clientCpuMsPerRequest),
    ];
  });
  return renderTable(head, rows);
}

export function renderProfile(name: string, summary: ProfileSummary): string {
  const shares = (list: ProfileSummary['areas']): string[][] =>
    list.map((item) => [item.name, `${(item.share * 100).toFixed(1)} %`]);
  const title = `${name}: ${summary.busySeconds.toFixed(1)} s of the main thread, start-up included`;
  return `${title}\n\n${renderTable(['area', 'self time'], shares(summary.areas))}\n${renderTable(['function', 'self time'], shares(summary.functions))}`;
}

export function renderSpread(value: Spread | undefined): string {
  return value === undefined
    ? ''
    : `${renderNumber(value.median)} (${renderNumber(value.min)} to ${renderNumber(value.max)})`;
}

/** Three significant digits: no run repeats to more. */
export function renderNumber(value: number | undefined): string {
  if (value === undefined) return '';
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** A column of a table: what stands above it, and what of each row stands in it. */
export type Column<Row> = readonly [head: string, cell: (row: Row) => string];

export function renderRows<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  return renderTable(
    columns.map(([head]) => head),
    rows.map((row) => columns.map(([, cell]) => cell(row))),
  );
}

export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
