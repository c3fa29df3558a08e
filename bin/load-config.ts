import { readFile } from 'node:fs/promises';
import { type Config, ConfigError, parseConfig } from '../core/config.ts';

/**
 * The configuration from the environment and the file that is named, here or by `HOLDFAST_CONFIG`.
 *
 * @throws ConfigError naming every fault
 */
export async function loadConfig(
  environment: NodeJS.ProcessEnv,
  configPath = environment.HOLDFAST_CONFIG,
): Promise<Config> {
  if (!configPath) return parseConfig(environment);
  const text = await readFile(configPath, 'utf8').catch((error: Error) => {
    throw new ConfigError([`configuration file: ${error.message}`]);
  });
  return parseConfig(environment, text);
}
