import { once } from 'node:events';
import type { Server } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import type { ListenAddress } from '../core/config.ts';

/**
 * Begins to serve.
 *
 * @returns `host:port` as a URL has it, with the port that was given for 0, and an address to connect to where the host means all
 */
export async function listen(server: Server, { host, port }: ListenAddress): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${isIPv6(reachable) ? `[${reachable}]` : reachable}:${(server.address() as AddressInfo).port}`;
}
