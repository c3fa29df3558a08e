import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Config, ConfigError } from '../core/config.ts';
import type { AccountWithKeys } from '../gateway/accounts.ts';
import { makeFolder } from '../placement/providers/durable-files.ts';
import { readKeptFile } from './read-kept-file.ts';
import { writeFileSafely } from './write-file-safely.ts';

/** The account that needs no configuration file, and where its key came from. */
export interface RootAccount {
  readonly account: AccountWithKeys;
  readonly source: 'configured' | 'generated' | 'kept';
  /** The file that keeps a generated key. */
  readonly keyPath: string;
}

/** The setting that keeps a generated key in the metadata store as well. */
export const rootKeySetting = 'root-key';

/** The file of a generated key. */
export function rootKeyPath(dataDir: string): string {
  return join(dataDir, 'root-key.json');
}

/** The configured root key, else the one that an earlier start generated, else a new one, kept with mode 0600. */
export async function loadRootAccount(config: Config): Promise<RootAccount> {
  const keyPath = rootKeyPath(config.dataDir);
  if (config.root) return { account: describeRoot(config.root), source: 'configured', keyPath };
  const kept = await readKeptFile(keyPath);
  if (kept !== undefined) {
    return { account: describeRoot(parseKey(kept, keyPath)), source: 'kept', keyPath };
  }
  const key = {
    accessKeyId: `HF${base32(randomBytes(18)).slice(0, 18)}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
  };
  await makeFolder(config.dataDir);
  await writeRootKey(keyPath, key);
  return { account: describeRoot(key), source: 'generated', keyPath };
}

/** Keeps a key where the next start finds it. */
export function writeRootKey(keyPath: string, key: unknown): Promise<void> {
  return writeFileSafely(keyPath, `${JSON.stringify(key, undefined, 2)}\n`, 0o600);
}

/** The root's canonical id does not depend on its key, so that buckets stay its own when the key changes. */
function describeRoot(key: { accessKeyId: string; secretAccessKey: string }): AccountWithKeys {
  return {
    accountId: '000000000000',
    canonicalId: createHash('sha256').update('holdfast root account').digest('hex'),
    displayName: 'root',
    email: 'root@localhost',
    accessKeys: [key],
  };
}

function parseKey(text: string, path: string): { accessKeyId: string; secretAccessKey: string } {
  try {
    const { accessKeyId, secretAccessKey } = JSON.parse(text) as Record<string, unknown>;
    if (typeof accessKeyId === 'string' && typeof secretAccessKey === 'string') return { accessKeyId, secretAccessKey };
  } catch {
    // Falls through to the one message for every way in which the file can be wrong.
  }
  throw new ConfigError([`${path}: must hold accessKeyId and secretAccessKey; delete it to have a new key generated`]);
}

function base32(bytes: Uint8Array): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  return Array.from(bytes, (byte) => alphabet[byte & 31]).join('');
}
