import type { Server } from 'node:http';

/** Takes no new connections and lets requests under way finish, up to a limit; idle connections are closed at once. */
export async function drainServer(server: Server, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const limit = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearTimeout(limit);
}
