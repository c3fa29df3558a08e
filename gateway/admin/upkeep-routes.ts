import type { AdminRoute } from './admin-route.ts';

/** What operators ask about the work in the background, and about what the data can bear. */
export const upkeepRoutes: readonly AdminRoute[] = [];
