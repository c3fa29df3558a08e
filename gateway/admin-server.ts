import type { Server } from 'node:http';
import express from 'express';
import type { Metrics } from '../core/metrics.ts';
import { nodeHttp } from '../core/node-http.ts';
import type { AdminHandler } from './admin/admin-handler.ts';

export interface AdminServerParts {
  readonly metrics: Metrics;
  readonly isReady: () => boolean;
  readonly handler: AdminHandler;
}

/** The operators' listener: metrics and health for whoever asks, and the admin API for the root account. It serves no object. */
export function createAdminServer(parts: AdminServerParts): Server {
  const app = express();
  app.disable('x-powered-by');
  app.get('/metrics', async (_request, response) => {
    const { metrics } = parts;
    response.type(metrics.registry.contentType).send(await metrics.readText());
  });
  app.get('/health/live', (_request, response) => {
    response.json({ status: 'live' });
  });
  app.get('/health/ready', (_request, response) => {
    const ready = parts.isReady();
    response.status(ready ? 200 : 503).json({ status: ready ? 'ready' : 'not ready' });
  });
  app.use('/admin', (message, response) => {
    // Express takes off what it was mounted at.
    message.url = message.originalUrl;
    void parts.handler.handle(message, response);
  });
  return nodeHttp.createServer(app);
}
