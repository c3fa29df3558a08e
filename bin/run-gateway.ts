import { readFile } from 'node:fs/promises';
import { type Config, ConfigError, parseConfig } from '../core/config.ts';
import { createLog } from '../core/log.ts';
import { renderBanner } from './banner.ts';
import { composeGateway, type Gateway } from './compose-gateway.ts';
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
  const gateway = await composeGateway({ config, log, root: root.account, masterKey: key.masterKey });
  stopOnSignal(gateway, config);
  process.stdout.write(
    renderBanner({ config, root, key, endpoint: gateway.endpoint, adminEndpoint: gateway.adminEndpoint }),
  );
}

async function loadConfig(environment: NodeJS.ProcessEnv, configPath = environment.HOLDFAST_CONFIG): Promise<Config> {
  if (!configPath) return parseConfig(environment);
  const text = await readFile(configPath, 'utf8').catch((error: Error) => {
    throw new ConfigError([`configuration file: ${error.message}`]);
  });
  return parseConfig(environment, text);
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
