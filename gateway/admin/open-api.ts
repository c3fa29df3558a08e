import { z } from 'zod';
import type { AdminRoute } from './admin-route.ts';

type Json = Record<string, unknown>;

const refusal = z
  .strictObject({
    code: z.string(),
    message: z.string(),
    faults: z.array(z.string()).optional().meta({ description: 'Every fault of the request, where it has some' }),
    requestId: z.string(),
  })
  .meta({ id: 'Refusal' });

/** What every route may answer besides its own. */
const commonRefusals: AdminRoute['refusals'] = [
  [400, 'InvalidRequest'],
  [403, 'AccessDenied'],
  [500, 'InternalError'],
];

/** The OpenAPI 3.1 description of these routes, made from the schemas that requests are checked by. */
export function describeApi(routes: readonly AdminRoute[]): Json {
  const schemas: Json = {};
  const reference = (schema: z.ZodType, io: 'input' | 'output'): Json => {
    const { $schema: _, $defs = {}, ...own } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as Json;
    for (const [name, definition] of Object.entries($defs as Json)) schemas[name] = relocate(definition);
    return relocate(own) as Json;
  };
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    paths[route.path]![route.method.toLowerCase()] = describeRoute(route, reference);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast admin API',
      version: '1',
      description:
        'For operators, on the admin listener. Requests are signed with AWS Signature Version 4 for the service holdfast-admin, with the key of the root account.',
    },
    security: [{ signature: [] }],
    paths,
    components: {
      securitySchemes: {
        signature: {
          type: 'apiKey',
          in: 'header',
          name: 'Authorization',
          description: 'AWS4-HMAC-SHA256, service holdfast-admin: curl --aws-sigv4 aws:amz:REGION:holdfast-admin',
        },
      },
      schemas,
    },
  };
}

function describeRoute(route: AdminRoute, reference: (schema: z.ZodType, io: 'input' | 'output') => Json): Json {
  const parameters = [
    ...describeParameters(route.pathSchema, 'path', reference),
    ...describeParameters(route.querySchema, 'query', reference),
  ];
  const byStatus = Map.groupBy([...commonRefusals, ...route.refusals], ([status]) => status);
  const refusals = Array.from(byStatus, ([status, codes]): [string, Json] => [
    String(status),
    {
      description: codes.map(([, code]) => code).join(', '),
      content: { 'application/json': { schema: reference(refusal, 'output') } },
    },
  ]);
  return {
    operationId: route.name,
    summary: route.summary,
    ...(parameters.length > 0 && { parameters }),
    ...(route.bodySchema && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: reference(route.bodySchema, 'input') } },
      },
    }),
    responses: {
      200: {
        description: 'Done',
        content: { 'application/json': { schema: reference(route.answerSchema, 'output') } },
      },
      ...Object.fromEntries(refusals),
    },
  };
}

function describeParameters(
  schema: z.ZodObject,
  place: 'path' | 'query',
  reference: (schema: z.ZodType, io: 'input' | 'output') => Json,
): Json[] {
  return Object.entries(schema.shape).map(([name, of]) => ({
    name,
    in: place,
    required: place === 'path',
    schema: reference(of as z.ZodType, 'input'),
  }));
}

/** Named schemas stand in one place of the whole document, not in each of its schemas. */
function relocate(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relocate);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      name === '$ref' && typeof inner === 'string'
        ? inner.replace(/^#\/\$defs\//, '#/components/schemas/')
        : relocate(inner),
    ]),
  );
}
