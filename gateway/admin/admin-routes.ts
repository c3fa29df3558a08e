import type { AdminRoute } from './admin-route.ts';
import { bucketRoutes } from './bucket-routes.ts';
import { openApiRoute } from './open-api-route.ts';
import { providerRoutes } from './provider-routes.ts';
import { statusRoutes } from './status-routes.ts';
import { upkeepRoutes } from './upkeep-routes.ts';

/** The admin API, row by row. */
export const adminRoutes: readonly AdminRoute[] = [
  ...providerRoutes,
  ...bucketRoutes,
  ...statusRoutes,
  ...upkeepRoutes,
  openApiRoute,
];
