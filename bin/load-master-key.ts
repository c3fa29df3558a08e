import { randomBytes } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Config, ConfigError, masterKeyPattern } from '../core/config.ts';
import { MasterKey, masterKeyBytes } from '../crypto/master-key.ts';
import { makeFolder } from '../placement/providers/durable-files.ts';
import { readKeptFile } from './read-kept-file.ts';
import { writeFileSafely } from './write-file-safely.ts';

export interface LoadedMasterKey {
  readonly masterKey: MasterKey;
  readonly source: 'configured' | 'file' | 'generated' | 'kept';
  /** The file that holds it, unless it was configured itself. */
  readonly path: string | undefined;
}

/** Where a generated master key is kept. */
export function masterKeyPath(dataDir: string): string {
  return join(dataDir, 'master-key');
}

/**
 * The master key from the configuration, else from the file that it names, else the one that an earlier start generated,
 * else a new one, kept with mode 0600.
 *
 * @throws ConfigError for a file that cannot be read or holds no key, and where the kept one of a data directory is gone
 */
export async function loadMasterKey(config: Config): Promise<LoadedMasterKey> {
  if (config.masterKey !== undefined) {
    return { masterKey: parseMasterKey(config.masterKey), source: 'configured', path: undefined };
  }
  if (config.masterKeyFile !== undefined) {
    const path = resolve(config.masterKeyFile);
    return { masterKey: await readMasterKey(path), source: 'file', path };
  }
  const path = resolve(masterKeyPath(config.dataDir));
  const kept = await readKeptFile(path);
  if (kept !== undefined) {
    return { masterKey: parseKeyFile(kept, path), source: 'kept', path };
  }
  // A new key would open nothing of what is there.
  if (await exists(join(config.dataDir, 'metadata.sqlite'))) {
    throw new ConfigError([`masterKey: ${path} is gone, and nothing of the data can be read without it: put it back`]);
  }
  const text = randomBytes(masterKeyBytes).toString('hex');
  await makeFolder(config.dataDir);
  await writeFileSafely(path, `${text}\n`, 0o600);
  return { masterKey: parseMasterKey(text), source: 'generated', path };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** @throws ConfigError for a file that cannot be read or holds no key */
export async function readMasterKey(path: string): Promise<MasterKey> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new ConfigError([`master key file: ${error.message}`]);
  });
  return parseKeyFile(text, path);
}

/** A key as a command is given it: 64 hex digits, or the file that holds them. @throws ConfigError */
export async function findMasterKey(hexOrPath: string): Promise<{ masterKey: MasterKey; hex: string }> {
  const isHex = masterKeyPattern.test(hexOrPath);
  const text = isHex
    ? hexOrPath
    : await readFile(hexOrPath, 'utf8').catch((error: Error) => {
        throw new ConfigError([`master key file: ${error.message}`]);
      });
  return { masterKey: parseKeyFile(text, hexOrPath), hex: text.trim().toLowerCase() };
}

/** @param hex 64 hex digits */
export function parseMasterKey(hex: string): MasterKey {
  return new MasterKey(Buffer.from(hex, 'hex'));
}

function parseKeyFile(text: string, path: string): MasterKey {
  const hex = text.trim();
  if (!masterKeyPattern.test(hex)) throw new ConfigError([`master key file ${path}: must hold 64 hex digits`]);
  return parseMasterKey(hex);
}
