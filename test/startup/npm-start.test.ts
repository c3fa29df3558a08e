import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('npm start hands SIGTERM on, and exits 0', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-'));
  try {
    const settings = {
      HOLDFAST_DATA_DIR: dataDir,
      HOLDFAST_LISTEN: '127.0.0.1:0',
      HOLDFAST_ADMIN_LISTEN: '127.0.0.1:0',
    };
    const npm = spawn('npm', ['start'], {
      cwd: root,
      env: { ...process.env, ...settings },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    for await (const chunk of npm.stdout) {
      said += String(chunk);
      if (said.includes('aws s3 mb')) break;
    }
    npm.kill('SIGTERM');
    const [code] = npm.exitCode === null ? await once(npm, 'exit') : [npm.exitCode];
    assert.equal(code, 0, said);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});
