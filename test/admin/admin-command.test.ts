import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { adminCommands } from '../../bin/admin-commands.ts';
import { parseBytes, renderBytes } from '../../bin/render-columns.ts';
import { runAdmin } from '../../bin/run-admin.ts';
import { ConfigError } from '../../core/config.ts';
import { rootKey, startGateway, type TestGateway } from '../harness/gateway.ts';
import { type Ending, HoldfastProcess } from '../startup/holdfast-process.ts';

describe('holdfast admin', () => {
  let folder: string;
  let gateway: TestGateway;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-admin-'));
    gateway = await startGateway();
  });
  after(async () => {
    await gateway.close();
    await rm(folder, { recursive: true, force: true });
  });

  const rootEnvironment = () => ({
    HOLDFAST_ADMIN_ENDPOINT: gateway.adminUrl,
    HOLDFAST_ROOT_USER: rootKey.accessKeyId,
    HOLDFAST_ROOT_PASSWORD: rootKey.secretAccessKey,
  });
  /** In this process: most of what a command costs is to start one. */
  const admin = async (args: readonly string[], environment: Record<string, string> = {}): Promise<Ending> => {
    const stdout: string[] = [];
    const stderr: string[] = [];
    const output = {
      stdout: { write: (text: string) => stdout.push(text) },
      stderr: { write: (text: string) => stderr.push(text) },
    };
    const run = runAdmin([...args], { ...rootEnvironment(), ...environment }, output);
    const status = await run.catch((error: unknown) => {
      if (!(error instanceof ConfigError)) throw error;
      stderr.push(error.message);
      return 2;
    });
    return { status, stdout: stdout.join(''), stderr: stderr.join('') };
  };

  it('is a command of its own', async () => {
    const run = (args: string[]) => new HoldfastProcess(['admin', ...args], rootEnvironment()).ending;
    const [listed, wrong] = await Promise.all([run(['provider', 'list', '--json']), run(['provider', 'drain'])]);
    assert.deepEqual([listed.status, listed.stderr, wrong.status, wrong.stdout], [0, '', 2, '']);
    assert.equal((JSON.parse(listed.stdout) as { providers: unknown[] }).providers.length, 6);
  });

  it('adds, shows, changes and removes a provider', async () => {
    const place = ['--path', join(folder, 'p7'), '--reserve-bytes', '0'];
    // So little of the new data that none of the journal comes to it meanwhile.
    const labels = ['--operator', 'acme', '--country', 'de', '--zone', 'fra1', '--capacity', '4TB', '--weight', '1e-9'];
    const added = await admin(['provider', 'add', '--id', 'p7', ...place, ...labels]);
    assert.deepEqual([added.status, added.stderr], [0, '']);
    assert.match(added.stdout, /^p7 is active: .*p7\n$/);
    const shown = await admin(['provider', 'list']);
    assert.match(shown.stdout, /^ID +STATE +STANDING +OPERATOR/);
    assert.match(shown.stdout, /^p7 +active +up +acme +de +fra1 +1e-9 +\S+ \S+ of [\d.]+ [GT]iB +0 +0 B +\/.*p7$/m);
    const changed = await admin(['provider', 'set', 'p7', '--weight', '2e-9', '--capacity', 'none', '--json']);
    const { provider } = JSON.parse(changed.stdout) as { provider: Record<string, unknown> };
    assert.deepEqual([provider.weight, provider.capacityBytes], [2e-9, undefined]);
    assert.match((await admin(['provider', 'suspend', 'p7'])).stdout, /^p7 is suspended\n$/);
    assert.match((await admin(['provider', 'remove', 'p7'])).stdout, /^p7 is out of the fleet\n$/);
  });

  it('finds the gateway and its key by configuration and data directory', async () => {
    const config = join(folder, 'config.json');
    await writeFile(config, JSON.stringify({ adminListen: new URL(gateway.adminUrl).host, dataDir: folder }));
    await writeFile(join(folder, 'root-key.json'), JSON.stringify(rootKey));
    const environment = { HOLDFAST_ADMIN_ENDPOINT: '', HOLDFAST_ROOT_USER: '', HOLDFAST_ROOT_PASSWORD: '' };
    const { status, stdout } = await admin(['provider', 'list', '--config', config, '--json'], environment);
    assert.equal(status, 0);
    assert.ok((JSON.parse(stdout) as { providers: unknown[] }).providers.length >= 6);
  });

  it('takes options wherever they stand', async () => {
    const endpoint = ['--endpoint', gateway.adminUrl];
    const environment = { HOLDFAST_ADMIN_ENDPOINT: '127.0.0.1:1' };
    for (const args of [
      [...endpoint, '--json', 'provider', 'list'],
      ['provider', ...endpoint, 'list', '--json'],
      ['--json', 'provider', 'list', ...endpoint],
    ]) {
      const { status, stdout, stderr } = await admin(args, environment);
      assert.deepEqual([status, stderr], [0, ''], args.join(' '));
      assert.ok('providers' in JSON.parse(stdout));
    }
    const changed = await admin([...endpoint, '--weight', '1', 'provider', 'set', '--operator', '', 'p1'], environment);
    assert.match(changed.stdout, /^p1: - - -, weight 1, /);
    await assert.rejects(admin(['--lost', 'provider', 'list']), /--lost/);
  });

  it('has one kind of each option in all commands, so that it can stand before them', () => {
    const kinds = new Map<string, string>();
    for (const [name, kind] of adminCommands.flatMap(({ options }) => Object.entries(options))) {
      assert.equal(kinds.get(name) ?? kind, kind, name);
      kinds.set(name, kind);
    }
  });

  it('exits 1 with what the gateway says against it, or where it cannot be asked', async () => {
    const refused = await admin(['provider', 'remove', 'p99']);
    assert.deepEqual([refused.status, refused.stdout], [1, '']);
    assert.equal(refused.stderr, 'holdfast: There is no provider p99 in the fleet.\n');
    const wrongKey = await admin(['provider', 'list'], { HOLDFAST_ROOT_PASSWORD: 'another secret' });
    assert.equal(wrongKey.status, 1);
    const nobody = await admin(['provider', 'list', '--endpoint', '127.0.0.1:1']);
    assert.equal(nobody.status, 1);
    assert.match(nobody.stderr, /does the gateway run/);
  });

  it('exits 2 and names every fault of what was typed', async () => {
    const unknown = await admin(['provider', 'destroy']);
    assert.equal(unknown.status, 2);
    assert.match(unknown.stderr, /usage: holdfast admin/);
    const faulty = await admin(['provider', 'add', '--weight', 'heavy', '--capacity', 'much', '--bucket', 'b']);
    assert.equal(faulty.status, 2);
    for (const option of ['--id', '--weight', '--capacity', '--region', '--access-key-id', '--secret-file']) {
      assert.ok(faulty.stderr.includes(option), `${option} in ${faulty.stderr}`);
    }
    assert.equal((await admin(['provider', 'drain'])).status, 2);
    assert.equal((await admin(['provider', 'drain', 'p1', 'p2'])).status, 2);
  });

  it('reads lengths as people write them, and writes them so', () => {
    assert.deepEqual(['4TB', '500GiB', '1.5 MB', '1000', '12kib', 'much', '-1', '1 PB extra'].map(parseBytes), [
      4e12,
      500 * 2 ** 30,
      1.5e6,
      1000,
      12 * 1024,
      undefined,
      undefined,
      undefined,
    ]);
    assert.deepEqual([0, 1023, 1536, 5 * 2 ** 40].map(renderBytes), ['0 B', '1023 B', '1.5 KiB', '5.0 TiB']);
  });
});
