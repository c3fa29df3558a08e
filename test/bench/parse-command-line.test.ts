import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BenchCommand } from '../../bench/bench-command.ts';
import { commands as realCommands } from '../../bench/commands.ts';
import { flags } from '../../bench/flags.ts';
import { parseCommandLine, UsageError } from '../../bench/parse-command-line.ts';
import { renderUsage } from '../../bench/render-usage.ts';

const command = (name: string, parts: Partial<BenchCommand> = {}): BenchCommand => ({
  name,
  summary: `what ${name} measures`,
  flags: ['quick'],
  isInDefault: false,
  run: async () => ({ text: '', rows: [] }),
  ...parts,
});

const commands = [
  command('codec', { isInDefault: true }),
  command('gateway', { isInDefault: true, flags: ['quick', 'folder', 'beside', 'against', 'access-key', 'region'] }),
  command('day', { flags: ['minutes', 'rate'] }),
];
const choice = { commands, caseCommand: 'gateway', caseNames: ['put-4KiB-1', 'put-4KiB-32', 'get-4KiB-1'] };
const parse = (line: string, environment: Record<string, string> = {}) =>
  parseCommandLine(line.split(' ').filter(Boolean), choice, environment);
const namesOf = (line: string) => parse(line).selections.map(({ command: { name }, names }) => [name, ...names]);

describe('the command line of the bench', () => {
  it('runs what belongs to the default where nothing is named', () => {
    assert.deepEqual(namesOf('--quick'), [['codec'], ['gateway']]);
  });

  it('runs what is named, in the order of the table', () => {
    assert.deepEqual(namesOf('day codec'), [['codec'], ['day']]);
  });

  it('takes the beginnings of names of cases for the gateway', () => {
    assert.deepEqual(namesOf('put-4 get codec'), [['codec'], ['gateway', 'put-4', 'get']]);
  });

  it('has values of flags, and defaults for the others', () => {
    const { values } = parse('day --minutes 1.5');
    assert.equal(values.minutes, 1.5);
    assert.equal(values.rate, 2895);
    assert.equal(values.isQuick, false);
  });

  it('runs of the default what takes the flags that are given', () => {
    assert.deepEqual(namesOf('--quick --against http://localhost:9000'), [['gateway']]);
  });

  it('has values of the environment, where there is no flag', () => {
    const environment = { AWS_ACCESS_KEY_ID: 'ours', AWS_REGION: 'eu-north-1' };
    assert.equal(parse('', environment).values.accessKey, 'ours');
    assert.equal(parse('', environment).values.region, 'eu-north-1');
    assert.equal(parse('--access-key theirs', environment).values.accessKey, 'theirs');
    assert.equal(parse('').values.region, 'us-east-1');
  });

  it('takes names of servers with commas between', () => {
    assert.deepEqual(parse('put --beside null,file-per-shard').values.beside, ['null', 'file-per-shard']);
  });

  const wrong: readonly (readonly [line: string, what: RegExp])[] = [
    ['cod', /no benchmark is called cod/],
    ['put-8KiB', /put-8KiB/],
    ['--fast', /--fast/],
    ['day --rate', /--rate/],
    ['day --rate many', /--rate many: must be a number/],
    ['day --rate 0', /--rate 0: must be more than 0/],
    ['day --quick', /day: no --quick here/],
    ['--seed 1', /no benchmark that runs without its name takes --seed/],
    ['--beside null,all', /--beside null,all: must be of null, md5/],
    ['--against localhost:9000', /--against localhost:9000: must be a URL/],
    ['codec --folder /tmp', /codec: no --folder here/],
  ];
  for (const [line, what] of wrong) {
    it(`refuses "${line}", and names what is wrong`, () => {
      assert.throws(
        () => parse(line),
        (error) => error instanceof UsageError && what.test(error.message),
      );
    });
  }

  it('has help that names every command and every flag', () => {
    assert.ok(parse('--help').isHelp);
    const usage = renderUsage(realCommands, ['put-4KiB-1']);
    for (const { name, summary } of realCommands) assert.ok(usage.includes(`  ${name} `) && usage.includes(summary));
    for (const name of Object.keys(flags)) assert.ok(usage.includes(`--${name}`), name);
    assert.match(usage, /put-4KiB-1/);
  });

  it('has no two benchmarks of one name', () => {
    assert.equal(new Set(realCommands.map(({ name }) => name)).size, realCommands.length);
  });
});
