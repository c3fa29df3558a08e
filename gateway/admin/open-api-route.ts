import { z } from 'zod';
import { type AdminRoute, adminRoute } from './admin-route.ts';

/** Describes the API, itself included; the handler knows all routes and fills it in. */
export const openApiRoute: AdminRoute = adminRoute({
  method: 'GET',
  path: '/admin/v1/openapi.json',
  name: 'describeApi',
  summary: 'This description',
  answerSchema: z.record(z.string(), z.unknown()),
  act: async (_, __) => {
    throw new Error('the handler answers this itself');
  },
});
