import { join, resolve } from 'node:path';
import { ConfigError } from '../core/config.ts';
import { generateNodeKey, type NodeKey, parseNodeKey } from '../placement/providers/node/node-key.ts';
import { readKeptFile } from './read-kept-file.ts';
import { writeFileSafely } from './write-file-safely.ts';

export interface LoadedNodeKeys {
  /** At least one. */
  readonly keys: readonly NodeKey[];
  readonly source: 'configured' | 'generated' | 'kept';
  /** The file that holds them, unless they were configured. */
  readonly path: string | undefined;
}

/**
 * The keys from the environment, else those in the file `node-key` beside the shards, else a new one, kept there with
 * mode 0600. There may be several, so that a key can be changed without a gap: one a line in the file, or with commas.
 *
 * @param options.dataDir the node's directory, which must exist
 * @throws ConfigError for what is no key; it never repeats the text
 */
export async function loadNodeKeys(options: {
  configured: string | undefined;
  dataDir: string;
}): Promise<LoadedNodeKeys> {
  const { configured, dataDir } = options;
  if (configured) return { keys: parseKeys(configured, 'HOLDFAST_NODE_KEY'), source: 'configured', path: undefined };
  const path = resolve(join(dataDir, 'node-key'));
  const kept = await readKeptFile(path);
  if (kept !== undefined) {
    return { keys: parseKeys(kept, path), source: 'kept', path };
  }
  const { key, text } = generateNodeKey();
  await writeFileSafely(path, `${text}\n`, 0o600);
  return { keys: [key], source: 'generated', path };
}

function parseKeys(text: string, origin: string): NodeKey[] {
  try {
    const keys = text
      .split(/[\s,]+/)
      .filter((part) => part !== '')
      .map(parseNodeKey);
    if (keys.length > 0) return keys;
  } catch {
    // Falls through to the one message for every way in which it can be wrong.
  }
  throw new ConfigError([`${origin}: must hold node keys of 64 hex digits each`]);
}
