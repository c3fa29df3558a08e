import type { Operation } from './bench-case.ts';
import { type CaseResult, compareRates, type Measurement } from './compare-servers.ts';
import { type Column, renderNumber, renderRows, renderSpread } from './render-table.ts';
import type { TargetName } from './target.ts';

const titles: Readonly<Record<Operation, string>> = {
  put: 'PUT',
  get: 'GET',
  range: 'GET of a range: a quarter of the object, at most 1 MiB',
  list: 'A page of a listing: 1,000 keys',
  mixed: 'Mixed: 70 % GET, 20 % PUT, 5 % listings of 100 keys, 5 % DELETE',
};
const besides: readonly TargetName[] = ['null', 'md5', 'file', 'appends', 'file-per-shard'];

/** One table for each operation, and one for what dead providers cost. */
export function renderCases(results: readonly CaseResult[]): string {
  const tables = Object.entries(titles).map(([operation, title]) => {
    const rows = results.filter(({ benchCase }) => benchCase.operation === operation && !benchCase.isWithDead);
    return rows.length === 0 ? '' : `### ${title}\n\n${renderRows(rows, findColumns(rows))}`;
  });
  const withDead = results.filter(({ benchCase }) => benchCase.isWithDead);
  const dead = withDead.length === 0 ? '' : `### Dead providers\n\n${renderRows(withDead, deadColumns)}`;
  return [...tables, dead].filter(Boolean).join('\n');
}

/** What the case is about: the gateway, or the server that stands in its place. */
function subjectOf({ servers }: CaseResult): Measurement | undefined {
  return servers.other ?? servers.gateway;
}

/** Only those that have something to say. */
function findColumns(rows: readonly CaseResult[]): readonly Column<CaseResult>[] {
  const extra = besides.filter((name) =>
    rows.some(({ benchCase, servers }) => servers[name] !== undefined && benchCase.limit !== name),
  );
  if (rows.some(({ servers }) => servers.other !== undefined && servers.gateway !== undefined)) extra.push('gateway');
  const isOther = rows.some(({ servers }) => servers.other !== undefined);
  return [
    ['case', ({ benchCase }) => benchCase.name],
    ['limit', ({ benchCase, servers }) => (servers[benchCase.limit] === undefined ? '' : benchCase.limit)],
    ['limit /s', ({ benchCase, servers }) => renderNumber(servers[benchCase.limit]?.requestsPerS.median)],
    [isOther ? 'other /s' : 'gateway /s', (row) => renderNumber(subjectOf(row)?.requestsPerS.median)],
    ['MiB/s', (row) => renderNumber(subjectOf(row)?.mibPerS.median)],
    ['of the limit', (row) => renderSpread(compareRates(subjectOf(row), row.servers[row.benchCase.limit]))],
    ...extra.flatMap((name): Column<CaseResult>[] => [
      [`${name} /s`, ({ servers }) => renderNumber(servers[name]?.requestsPerS.median)],
      [`times ${name}`, (row) => renderSpread(compareRates(subjectOf(row), row.servers[name]))],
    ]),
    ['p50 ms', (row) => renderNumber(subjectOf(row)?.latencyMs.p50)],
    ['p99 ms', (row) => renderNumber(subjectOf(row)?.latencyMs.p99)],
    ...(rows.some((row) => (subjectOf(row)?.refusals ?? 0) > 0) ? [refusalColumn] : []),
    ...(isOther ? [] : gatewayColumns),
    ['client CPU us', ({ clientCpuMicros }) => renderNumber(clientCpuMicros)],
  ];
}

const refusalColumn: Column<CaseResult> = ['503 in 1,000', (row) => renderNumber(findRefusals(subjectOf(row)))];

function findRefusals(measured: Measurement | undefined): number | undefined {
  return measured && (measured.refusals / (measured.refusals + measured.requests)) * 1000;
}

/** What only a server of ours tells. */
const gatewayColumns: readonly Column<CaseResult>[] = [
  ['CPU us a request', ({ servers }) => renderNumber(servers.gateway?.cpu?.microsPerRequest)],
  ['main thread us', ({ servers }) => renderNumber(servers.gateway?.cpu?.mainThreadMicros)],
  ['limit CPU us', ({ benchCase, servers }) => renderNumber(servers[benchCase.limit]?.cpu?.microsPerRequest)],
  ['CPU s/GiB', ({ servers }) => renderNumber(servers.gateway?.cpu?.secondsPerGib)],
  ['limit CPU s/GiB', ({ benchCase, servers }) => renderNumber(servers[benchCase.limit]?.cpu?.secondsPerGib)],
  ['loop delay p99 ms', ({ servers }) => renderNumber(servers.gateway?.loopDelayMs?.p99)],
  ['max ms', ({ servers }) => renderNumber(servers.gateway?.loopDelayMs?.max)],
];

const deadColumns: readonly Column<CaseResult>[] = [
  ['case', ({ benchCase }) => benchCase.name],
  ['limit /s', ({ benchCase, servers }) => renderNumber(servers[benchCase.limit]?.requestsPerS.median)],
  ['healthy /s', ({ servers }) => renderNumber(servers.gateway?.requestsPerS.median)],
  ['p99 ms', ({ servers }) => renderNumber(servers.gateway?.latencyMs.p99)],
  ['CPU us', ({ servers }) => renderNumber(servers.gateway?.cpu?.microsPerRequest)],
  ...columnsOfDead('one-dead', 'one dead'),
  ...columnsOfDead('m-dead', 'm dead'),
];

function columnsOfDead(name: TargetName, title: string): Column<CaseResult>[] {
  return [
    [`${title} /s`, ({ servers }) => renderNumber(servers[name]?.requestsPerS.median)],
    ['of healthy', ({ servers }) => renderSpread(compareRates(servers[name], servers.gateway))],
    ['p99 ms', ({ servers }) => renderNumber(servers[name]?.latencyMs.p99)],
    ['CPU us', ({ servers }) => renderNumber(servers[name]?.cpu?.microsPerRequest)],
    ['first seconds: /s', ({ servers }) => renderNumber(servers[name]?.afterDeath?.requestsPerS)],
    ['p99 ms', ({ servers }) => renderNumber(servers[name]?.afterDeath?.p99Ms)],
  ];
}
