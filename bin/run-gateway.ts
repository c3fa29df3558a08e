import { createLog } from '../core/log.ts';
import { renderBanner } from './banner.ts';
import { composeGateway } from './compose-gateway.ts';
import { loadConfig } from './load-config.ts';
import { loadMasterKey } from './load-master-key.ts';
import { loadRootAccount } from './root-account.ts';
import { stopOnSignal } from './stop-on-signal.ts';

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
  stopOnSignal(() => gateway.stop(config.limits.drainMs));
  process.stdout.write(
    renderBanner({ config, root, key, endpoint: gateway.endpoint, adminEndpoint: gateway.adminEndpoint }),
  );
}
