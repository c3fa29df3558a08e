import type { Server } from 'node:http';
import express from 'express';
import type { Metrics } from '../core/metrics.ts';
import { nodeHttp } from '../core/node-http.ts';

/** The operators' listener: metrics and health. It serves no object and knows no account. */
export function createAdminServer(parts: { metrics: Metrics; isReady: () => boolean }): Server {
  const app = express();
  app.disable('x-powered-by');
  app.get('/metrics', async (_request, response) => {
    const { registry } = parts.metrics;
    response.type(registry.contentType).send(await registry.metrics());
  });
  app.get('/health/live', (_request, response) => {
    response.json({ status: 'live' });
  });
  app.get('/health/ready', (_request, response) => {
    const ready = parts.isReady();
    response.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not ready' });
  });
  return nodeHttp.createServer(app);
}
