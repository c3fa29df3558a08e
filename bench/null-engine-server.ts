import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { systemClock } from '../core/clock.ts';
import { createLog } from '../core/log.ts';
import { Metrics } from '../core/metrics.ts';
import { Accounts, type AccountWithKeys } from '../gateway/accounts.ts';
import { createHttpServer } from '../gateway/http-server.ts';
import { operations } from '../gateway/operations/operation-table.ts';
import { Router } from '../gateway/router.ts';
import { S3Handler } from '../gateway/s3-handler.ts';
import { processKey, processRegion } from '../test/harness/gateway-process.ts';
import { createNullEngine } from './null-engine.ts';

/**
 * The gateway's HTTP server and S3 handler as `bin/` puts them together, with nothing beneath them.
 *
 *     node bench/null-engine-server.ts <bytes>     GET answers so many
 */
// As `bin/holdfast.ts` does.
setFlagsFromString('--semi-space-growth-factor=1');

const account: AccountWithKeys = {
  accountId: '000000000000',
  canonicalId: 'a'.repeat(64),
  displayName: 'bench',
  email: 'bench@example.com',
  accessKeys: [processKey],
};
const handler = new S3Handler({
  engine: createNullEngine({ ownerId: account.canonicalId, bytes: Number(process.argv[2]) }),
  accounts: new Accounts([account]),
  router: new Router(operations),
  clock: systemClock,
  region: processRegion,
  storageClasses: ['STANDARD'],
  bodyIdleMs: 30_000,
});
const server = createHttpServer({ handler, metrics: new Metrics({ processMetrics: true }), log: createLog('info') });
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
