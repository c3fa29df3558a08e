import { z } from 'zod';
import type { OwnerMargin } from '../../engine/upkeep/object-walk.ts';
import type { UpkeepStatus } from '../../engine/upkeep/upkeep-status.ts';
import { type AdminRoute, adminRoute } from './admin-route.ts';

const margin = z.union([z.int().min(0), z.literal('unavailable'), z.literal('lost')]).meta({
  description:
    'How many further shards can be lost; unavailable: cannot be read until a provider that is down is back; lost: not even then',
});

const time = z.iso.datetime();

const status = z
  .strictObject({
    at: time,
    margins: z.array(z.strictObject({ margin, stripes: z.int(), storedBytes: z.int() })).meta({
      description: 'All live stripes and what their shards take, exactly and at this moment; the best first',
    }),
    versions: z.int().meta({ description: 'Versions of objects that there are, delete markers included' }),
    below: z
      .strictObject({
        countedAt: time,
        counts: z.array(z.strictObject({ margin, objects: z.int(), parts: z.int(), systemObjects: z.int() })),
      })
      .optional()
      .meta({ description: 'Who lives below the full margin, each at its worst stripe, and when that was counted' }),
    atRisk: z.strictObject({
      owners: z.array(z.lazy(() => owner)),
      cursor: z.string().optional().meta({ description: 'For /admin/v1/at-risk; absent where these are all' }),
    }),
    repair: z.strictObject({
      stripes: z.int(),
      shards: z.int(),
      storedBytes: z.int(),
      oldestSince: time.optional(),
      bytesPerS: z.number().optional().meta({ description: 'Lost bytes that are rebuilt in a second, as measured' }),
    }),
    rateFactor: z.number().meta({ description: 'At which part of its rates upkeep works, since clients come first' }),
    oldestUnscrubbedAt: time.optional().meta({ description: 'No shard has gone unread for longer than since then' }),
  })
  .meta({ id: 'Status' });

const owner = z
  .strictObject({
    kind: z.enum(['version', 'part', 'system']),
    bucket: z.string().optional(),
    key: z.string().optional(),
    versionId: z.string().optional(),
    uploadId: z.string().optional(),
    partNumber: z.int().optional(),
    name: z.string().optional().meta({ description: 'Of a system object' }),
    margin,
  })
  .meta({ id: 'AtRisk' });

/** How many are named in a status. */
const namedInStatus = 100;

function toTime(ms: number): string {
  return new Date(ms).toISOString();
}

function render({ owner: { ...named }, margin: at }: OwnerMargin): z.input<typeof owner> {
  return { ...named, margin: at };
}

function renderStatus(read: UpkeepStatus): Omit<z.input<typeof status>, 'atRisk'> {
  const { atMs, margins, versions, below, backlog, repairBytesPerS, rateFactor, oldestUnscrubbedMs } = read;
  const { oldestMs, storedBytes, ...repair } = backlog;
  return {
    at: toTime(atMs),
    margins: [...margins],
    versions,
    ...(below && { below: { countedAt: toTime(below.countedAtMs), counts: [...below.counts] } }),
    repair: {
      ...repair,
      storedBytes: Math.round(storedBytes),
      ...(oldestMs !== undefined && { oldestSince: toTime(oldestMs) }),
      ...(repairBytesPerS !== undefined && { bytesPerS: repairBytesPerS }),
    },
    rateFactor,
    ...(oldestUnscrubbedMs !== undefined && { oldestUnscrubbedAt: toTime(oldestUnscrubbedMs) }),
  };
}

const readStatus = adminRoute({
  method: 'GET',
  path: '/admin/v1/status',
  name: 'readStatus',
  summary: 'What redundancy there is, what is at risk, and what waits for repair',
  answerSchema: status,
  act: async ({ upkeep }, { signal }) => {
    const read = await upkeep.readStatus();
    const { owners, cursor } = await upkeep.listAtRisk({ limit: namedInStatus }, signal);
    return { ...renderStatus(read), atRisk: { owners: owners.map(render), ...(cursor && { cursor }) } };
  },
});

const listAtRisk = adminRoute({
  method: 'GET',
  path: '/admin/v1/at-risk',
  name: 'listAtRisk',
  summary: 'Whose data can bear no further loss, cannot be read now, or is lost; page by page',
  querySchema: z.strictObject({
    cursor: z.string().optional(),
    limit: z.coerce.number().int().min(1).max(1_000).optional(),
  }),
  answerSchema: z.strictObject({ owners: z.array(owner), cursor: z.string().optional() }),
  act: async ({ upkeep }, { query, signal }) => {
    const { owners, cursor } = await upkeep.listAtRisk(query, signal);
    return { owners: owners.map(render), ...(cursor && { cursor }) };
  },
});

const rate = z.coerce.number().gt(0).lt(1);

const loss = z.strictObject({
  perStripe: z.number().meta({ description: 'Averaged over all stripes' }),
  worstStripe: z.number(),
  anyStripe: z.number().meta({ description: 'A bound on the chance that any stripe is lost' }),
});

const readDurability = adminRoute({
  method: 'GET',
  path: '/admin/v1/durability',
  name: 'readDurability',
  summary: 'How likely loss is within a year, by the model of docs/durability.md, for the fleet at hand',
  querySchema: z.strictObject({
    annualFailureRate: rate.optional().meta({ description: 'Of a provider; 0.05 unless given' }),
    operatorFailureRate: rate.optional().meta({ description: 'Of an operator, with all that it runs; 0.01' }),
    failureRates: z
      .string()
      .regex(/^[a-z0-9-]+=0?\.\d+(,[a-z0-9-]+=0?\.\d+)*$/, 'must be like p1=0.02,p2=0.1')
      .optional()
      .meta({ description: 'Of single providers, such as p1=0.02,p2=0.1' }),
    repairHours: z.coerce.number().gt(0).max(8_766).optional().meta({ description: 'Measured unless given' }),
  }),
  answerSchema: z
    .strictObject({
      annualFailureRate: z.number(),
      operatorFailureRate: z.number(),
      repairHours: z.number(),
      repairTimeFrom: z.enum(['given', 'measured', 'configured']),
      repairBytesPerS: z.number(),
      fullestProviderBytes: z.number(),
      profiles: z.array(z.strictObject({ name: z.string(), k: z.int(), m: z.int(), annualLoss: z.number() })),
      stripes: z.int(),
      alone: loss.meta({ description: 'Where providers fail by themselves' }),
      withOperators: loss.meta({ description: 'Where operators fail too, with all that they run' }),
    })
    .meta({ id: 'Durability' }),
  act: async ({ upkeep }, { query }) => {
    const { failureRates, ...question } = query;
    const report = await upkeep.readDurability({ ...question, failureRates: parseRates(failureRates) });
    return { ...report, profiles: [...report.profiles] };
  },
});

function parseRates(text: string | undefined): Record<string, number> {
  const pairs = (text ?? '').split(',').filter((pair) => pair !== '');
  return Object.fromEntries(pairs.map((pair) => pair.split('=')).map(([id, value]) => [id ?? '', Number(value)]));
}

/** What redundancy there is, and how likely loss is. */
export const statusRoutes: readonly AdminRoute[] = [readStatus, listAtRisk, readDurability];
