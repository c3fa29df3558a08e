import type { Config } from '../core/config.ts';
import { createLog } from '../core/log.ts';
import { renderBanner } from './banner.ts';
import { composeGateway, type Gateway } from './compose-gateway.ts';
import { loadConfig } from './load-config.ts';
import { loadMasterKey } from './load-master-key.ts';
import { loadRootAccount } from './root-account.ts';

/** Starts a gateway, and stops it in order on SIGTERM or SIGINT. */
export async function runGateway(options: {
  environment: NodeJS.ProcessEnv;
  configPath: string | undefined;
}): Promise<void> {
  const config = await loadConfig(options.environment, options.configPath);
  const log = createLog(config.logLevel);
  const root = await loadRootAccount(config);
  const key = await loadMasterKey(config);
  const gateway = await composeGateway({
    config,
    log,
    root: root.account,
    isRootKeyKept: root.source !== 'configured',
    masterKey: key.masterKey,
  });
  stopOnSignal(gateway, config);
  process.stdout.write(
    renderBanner({ config, root, key, endpoint: gateway.endpoint, adminEndpoint: gateway.adminEndpoint }),
  );
}

function stopOnSignal(gateway: Gateway, config: Config): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(1); // A second signal means now.
    stopping = true;
    gateway.stop(config.limits.drainMs).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`holdfast: while stopping: ${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
