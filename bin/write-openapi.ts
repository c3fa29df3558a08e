import { writeFile } from 'node:fs/promises';
import { adminRoutes } from '../gateway/admin/admin-routes.ts';
import { describeApi } from '../gateway/admin/open-api.ts';

// `npm run openapi`: a test fails while docs/openapi.json is not what the gateway says of itself.
const path = new URL('../docs/openapi.json', import.meta.url);
await writeFile(path, `${JSON.stringify(describeApi(adminRoutes), undefined, 2)}\n`);
