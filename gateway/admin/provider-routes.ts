import { z } from 'zod';
import { type ProviderId, providerStates } from '../../core/model.ts';
import { providerChangesSchema, providerIdSchema, providerSchema } from '../../core/provider-settings.ts';
import type { ProviderView } from '../../engine/fleet/provider-view.ts';
import { type AdminRoute, adminRoute } from './admin-route.ts';

/** Where a provider is; secrets are never part of an answer. */
const location = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('directory'),
    path: z.string(),
    reserveBytes: z.int(),
    segmentShardBytes: z.int(),
  }),
  z.strictObject({ kind: z.literal('node'), endpoint: z.string(), keyId: z.string() }),
  z.strictObject({
    kind: z.literal('bucket'),
    endpoint: z.string().optional(),
    region: z.string(),
    bucket: z.string(),
    prefix: z.string(),
    accessKeyId: z.string(),
    isPathStyle: z.boolean(),
  }),
]);

const provider = z
  .strictObject({
    id: z.string(),
    state: z.enum(providerStates).meta({ description: 'What an operator has said of it; see docs/operations.md' }),
    stateSince: z.iso.datetime(),
    standing: z.enum(['up', 'down', 'lost']).meta({
      description: 'How it does: down is expected back, the shards of one that is lost are rebuilt elsewhere',
    }),
    fault: z.string().optional().meta({ description: 'Why it is not open' }),
    operator: z.string(),
    country: z.string(),
    zone: z.string(),
    weight: z.number(),
    capacityBytes: z.int().optional().meta({ description: 'What an operator lets it hold' }),
    totalBytes: z.int().optional().meta({ description: 'What it can hold, as last measured' }),
    freeBytes: z.int().optional(),
    heldShards: z.int().meta({ description: 'Shards of live stripes that it holds' }),
    heldBytes: z.int().meta({ description: 'About what these take' }),
    location,
  })
  .meta({ id: 'Provider' });

const path = z.strictObject({ id: providerIdSchema });
const unknown = [404, 'ProviderUnknown'] as const;
const inUse = [409, 'ProviderInUse'] as const;
const refused = [422, 'ProviderRefused'] as const;

function render({ stateSinceMs, ...view }: ProviderView): z.input<typeof provider> {
  return { ...view, stateSince: new Date(stateSinceMs).toISOString() };
}

const list = adminRoute({
  method: 'GET',
  path: '/admin/v1/providers',
  name: 'listProviders',
  summary: 'All providers of the fleet, in order of id',
  answerSchema: z.strictObject({ providers: z.array(provider) }),
  act: async ({ keeper }) => ({ providers: (await keeper.list()).map(render) }),
});

const add = adminRoute({
  method: 'POST',
  path: '/admin/v1/providers',
  name: 'addProvider',
  summary: 'Takes a provider into the fleet, after it was opened and tried',
  bodySchema: providerSchema,
  answerSchema: z.strictObject({ provider, warnings: z.array(z.string()) }),
  refusals: [inUse, refused],
  act: async ({ keeper }, { body }) => {
    const added = await keeper.add(body);
    return { provider: render(added.provider), warnings: [...added.warnings] };
  },
});

const set = adminRoute({
  method: 'PATCH',
  path: '/admin/v1/providers/{id}',
  name: 'setProvider',
  summary: 'Changes what is known of a provider; what is not named stays as it is',
  pathSchema: path,
  bodySchema: providerChangesSchema,
  answerSchema: z.strictObject({ provider }),
  refusals: [unknown, refused],
  act: async ({ keeper }, { path: { id }, body }) => ({ provider: render(await keeper.set(id as ProviderId, body)) }),
});

function stateRoute(verb: 'suspend' | 'resume' | 'drain', summary: string): AdminRoute {
  return adminRoute({
    method: 'POST',
    path: `/admin/v1/providers/{id}/${verb}`,
    name: `${verb}Provider`,
    summary,
    pathSchema: path,
    answerSchema: z.strictObject({ provider }),
    refusals: [unknown, inUse],
    act: async ({ keeper }, { path: { id } }) => ({ provider: render(await keeper[verb](id as ProviderId)) }),
  });
}

const remove = adminRoute({
  method: 'DELETE',
  path: '/admin/v1/providers/{id}',
  name: 'removeProvider',
  summary: 'Takes a provider out of the fleet: one that holds nothing, or one that is lost',
  pathSchema: path,
  querySchema: z.strictObject({
    lost: z
      .enum(['true', 'false'])
      .default('false')
      .meta({ description: 'Whether what it holds is given up, to be rebuilt elsewhere' }),
  }),
  answerSchema: z.strictObject({
    isForgotten: z.boolean().meta({ description: 'False while stripes still name it: then its state is gone' }),
  }),
  refusals: [unknown, inUse],
  act: async ({ keeper }, { path: { id }, query: { lost } }) => ({
    isForgotten: await keeper.remove(id as ProviderId, { isLost: lost === 'true' }),
  }),
});

export const providerRoutes: readonly AdminRoute[] = [
  list,
  add,
  set,
  stateRoute('suspend', 'Stops calling a provider for a while; its shards count as absent, and are not rebuilt'),
  stateRoute('resume', 'Gives a provider new shards again'),
  stateRoute('drain', 'Gives a provider nothing new, and moves its shards elsewhere'),
  remove,
];
