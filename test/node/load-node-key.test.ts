import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadNodeKeys } from '../../bin/load-node-key.ts';
import { ConfigError } from '../../core/config.ts';
import { generateNodeKey } from '../../placement/providers/node/node-key.ts';

describe('the keys of a node', () => {
  let dataDir: string;
  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'holdfast-node-'));
  });
  after(() => rm(dataDir, { recursive: true, force: true }));

  const idsOf = ({ keys }: { keys: readonly { id: string }[] }) => keys.map(({ id }) => id);

  it('come from the environment, one or several, and then no file is made', async () => {
    const [first, second] = [generateNodeKey(), generateNodeKey()];
    const one = await loadNodeKeys({ configured: first.text, dataDir });
    assert.deepEqual([one.source, one.path, idsOf(one)], ['configured', undefined, [first.key.id]]);
    const both = await loadNodeKeys({ configured: `${first.text}, ${second.text}`, dataDir });
    assert.deepEqual(idsOf(both), [first.key.id, second.key.id]);
    await assert.rejects(readFile(join(dataDir, 'node-key')), { code: 'ENOENT' });
  });

  it('are made once, kept for their owner only, and may be several lines', async () => {
    const made = await loadNodeKeys({ configured: undefined, dataDir });
    const path = join(dataDir, 'node-key');
    assert.equal(made.source, 'generated');
    await chmod(path, 0o644);
    const kept = await loadNodeKeys({ configured: '', dataDir });
    assert.deepEqual([kept.source, idsOf(kept)], ['kept', idsOf(made)]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const { key, text } = generateNodeKey();
    await writeFile(path, `${await readFile(path, 'utf8')}${text}\n`);
    assert.deepEqual(idsOf(await loadNodeKeys({ configured: undefined, dataDir })), [...idsOf(made), key.id]);
  });

  it('are refused where they are none, and the message does not tell them', async () => {
    const { text } = generateNodeKey();
    for (const configured of [`${text}0`, `${text},secret`, ' ', ',']) {
      await assert.rejects(
        loadNodeKeys({ configured, dataDir }),
        (error: Error) =>
          error instanceof ConfigError && !error.message.includes(text) && !error.message.includes('secret'),
      );
    }
    await writeFile(join(dataDir, 'node-key'), 'nothing');
    await assert.rejects(loadNodeKeys({ configured: undefined, dataDir }), ConfigError);
  });
});
