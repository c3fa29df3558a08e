import type { DurabilityReport } from '../engine/upkeep/durability-report.ts';
import type { Margin } from '../engine/upkeep/redundancy.ts';
import type { AdminCommand } from './admin-commands.ts';
import { renderBytes, renderColumns } from './render-columns.ts';

interface ShownOwner {
  readonly kind: 'version' | 'part' | 'system';
  readonly bucket?: string;
  readonly key?: string;
  readonly versionId?: string;
  readonly uploadId?: string;
  readonly partNumber?: number;
  readonly name?: string;
  readonly margin: Margin;
}

/** The status as the admin API shows it. */
interface ShownStatus {
  readonly at: string;
  readonly margins: readonly { readonly margin: Margin; readonly stripes: number; readonly storedBytes: number }[];
  readonly versions: number;
  readonly below?: {
    readonly countedAt: string;
    readonly counts: readonly { readonly margin: Margin; readonly objects: number; readonly parts: number }[];
  };
  readonly atRisk: { readonly owners: readonly ShownOwner[]; readonly cursor?: string };
  readonly repair: {
    readonly stripes: number;
    readonly shards: number;
    readonly storedBytes: number;
    readonly oldestSince?: string;
    readonly bytesPerS?: number;
  };
  readonly rateFactor: number;
  readonly oldestUnscrubbedAt?: string;
}

const status: AdminCommand = {
  words: ['status'],
  usage: 'status',
  summary: 'how many further losses the data can bear, what is at risk, and what waits for repair',
  options: {},
  prepare: async () => ({ method: 'GET', target: '/admin/v1/status' }),
  render: (answer) => renderStatus(answer as ShownStatus),
};

const atRisk: AdminCommand = {
  words: ['at-risk'],
  usage: 'at-risk [--cursor CURSOR] [--limit N]',
  summary: 'name the objects that can bear no further loss, cannot be read now, or are lost',
  options: { cursor: 'text', limit: 'text' },
  prepare: async ({ options }) => ({ method: 'GET', target: `/admin/v1/at-risk${queryOf(options, atRiskNames)}` }),
  render(answer) {
    const { owners, cursor } = answer as ShownStatus['atRisk'];
    const lines = owners.map((owner) => `${describeMargin(owner.margin)}: ${describeOwner(owner)}\n`);
    if (owners.length === 0 && cursor === undefined) return 'nothing is at risk\n';
    return lines.join('') + (cursor === undefined ? '' : `go on with --cursor ${cursor}\n`);
  },
};

const durability: AdminCommand = {
  words: ['durability'],
  usage: 'durability [--afr 0.05] [--operator-afr 0.01] [--provider-afr p1=0.02,p2=0.1] [--repair-hours H]',
  summary: 'how likely loss is within a year, for this fleet and its measured repair time',
  options: { afr: 'text', 'operator-afr': 'text', 'provider-afr': 'text', 'repair-hours': 'text' },
  prepare: async ({ options }) => ({
    method: 'GET',
    target: `/admin/v1/durability${queryOf(options, durabilityNames)}`,
  }),
  render: (answer) => renderDurability(answer as DurabilityReport),
};

/** What redundancy there is, and how likely loss is. */
export const statusCommands: readonly AdminCommand[] = [status, atRisk, durability];

const atRiskNames = { cursor: 'cursor', limit: 'limit' } as const;
const durabilityNames = {
  afr: 'annualFailureRate',
  'operator-afr': 'operatorFailureRate',
  'provider-afr': 'failureRates',
  'repair-hours': 'repairHours',
} as const;

/** @param names which option becomes which parameter */
function queryOf(options: Readonly<Record<string, unknown>>, names: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams();
  for (const [option, name] of Object.entries(names)) {
    if (options[option] !== undefined) query.set(name, String(options[option]));
  }
  return query.size === 0 ? '' : `?${query}`;
}

function renderStatus({ at, margins, below, versions, repair, ...shown }: ShownStatus): string {
  const rows = margins.map(({ margin, stripes, storedBytes }) => {
    return [describeMargin(margin), String(stripes), renderBytes(storedBytes), countAt(margin, below)];
  });
  const atMs = Date.parse(at);
  const lines = [
    renderColumns(['MARGIN', 'STRIPES', 'BYTES', 'OBJECTS BELOW FULL'], rows),
    describeCount(below, versions, atMs),
    repair.stripes === 0
      ? 'repair: nothing to do'
      : `repair: ${repair.stripes} stripes lack ${repair.shards} shards (${renderBytes(repair.storedBytes)})${
          repair.oldestSince ? `, the oldest for ${describeAge(atMs, repair.oldestSince)}` : ''
        }`,
    ...(repair.bytesPerS === undefined ? [] : [`repair rebuilds ${renderBytes(repair.bytesPerS)}/s, as measured`]),
    ...(shown.rateFactor < 1
      ? [`upkeep makes way for clients: ${Math.round(100 * shown.rateFactor)} % of its rate`]
      : []),
    shown.oldestUnscrubbedAt
      ? `scrub: no shard has gone unread for longer than ${describeAge(atMs, shown.oldestUnscrubbedAt)}`
      : 'scrub: nothing was read yet',
    ...renderAtRisk(shown.atRisk),
  ];
  return `${lines.join('\n')}\n`;
}

function countAt(margin: Margin, below: ShownStatus['below']): string {
  if (below === undefined) return '?';
  return String(below.counts.find((count) => count.margin === margin)?.objects ?? 0);
}

function describeCount(below: ShownStatus['below'], versions: number, atMs: number): string {
  if (below === undefined) return 'objects: being counted';
  const sum = (of: 'objects' | 'parts'): number => below.counts.reduce((total, count) => total + count[of], 0);
  const more = sum('parts') === 0 ? '' : `, with ${sum('parts')} parts of open uploads`;
  const age = describeAge(atMs, below.countedAt);
  return `objects: ${versions - sum('objects')} at the full margin, ${sum('objects')} below${more}, as counted ${age} ago`;
}

function renderAtRisk({ owners, cursor }: ShownStatus['atRisk']): string[] {
  if (owners.length === 0) return ['nothing is at risk'];
  const lines = owners.map((owner) => `  ${describeMargin(owner.margin)}: ${describeOwner(owner)}`);
  return ['at risk:', ...lines, ...(cursor === undefined ? [] : ['  and more: holdfast admin at-risk'])];
}

function describeMargin(margin: Margin): string {
  return typeof margin === 'number' ? String(margin) : margin.toUpperCase();
}

function describeOwner({ kind, bucket, key, versionId, uploadId, partNumber, name }: ShownOwner): string {
  if (kind === 'system') return `metadata ${name}`;
  const path = JSON.stringify(`${bucket}/${key}`);
  if (kind === 'part') return `part ${partNumber} of upload ${uploadId} of ${path}`;
  return versionId === undefined || versionId === 'null' ? path : `${path} version ${versionId}`;
}

function describeAge(atMs: number, since: string): string {
  const seconds = Math.max(Math.round((atMs - Date.parse(since)) / 1000), 0);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}

function renderDurability(shown: DurabilityReport): string {
  const { repairTimeFrom, repairBytesPerS, repairHours } = shown;
  const rate = `${renderBytes(repairBytesPerS)}/s`;
  const from = {
    given: 'as given',
    measured: `the fullest provider holds ${renderBytes(shown.fullestProviderBytes)}, and ${rate} were rebuilt, as measured`,
    configured: `the fullest provider holds ${renderBytes(shown.fullestProviderBytes)}, and ${rate} may be rebuilt; nothing was measured yet`,
  }[repairTimeFrom];
  const losses = [
    ['providers fail alone', shown.alone],
    ['operators fail too', shown.withOperators],
  ] as const;
  const rows = losses.map(([what, { perStripe, worstStripe, anyStripe }]) => [
    what,
    renderChance(perStripe),
    renderChance(worstStripe),
    renderChance(anyStripe),
  ]);
  const profiles = shown.profiles.map(({ name, k, m, annualLoss }) => [name, `${k}+${m}`, renderChance(annualLoss)]);
  return [
    `a provider is lost within a year with a chance of ${percent(shown.annualFailureRate)}, an operator with ${percent(shown.operatorFailureRate)}`,
    `a lost provider is rebuilt in ${repairHours < 1 ? `${Math.round(repairHours * 60)} min` : `${repairHours.toFixed(1)} h`}: ${from}`,
    '',
    'The chance that a stripe is lost within a year, by the plain model:',
    renderColumns(['PROFILE', 'K+M', 'ANNUAL LOSS'], profiles),
    `The same for the ${shown.stripes} stripes as they lie:`,
    renderColumns(['', 'AVERAGE', 'WORST', 'ANY AT ALL'], rows),
    'What this leaves out is in docs/durability.md.',
    '',
  ].join('\n');
}

function renderChance(chance: number): string {
  return chance === 0 ? '0' : chance.toExponential(1);
}

function percent(rate: number): string {
  return `${Number((100 * rate).toFixed(2))} %`;
}
