#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { ConfigError } from '../core/config.ts';
import { runGateway } from './run-gateway.ts';

// Under load V8 lets its young generation grow to what a process may hold in all; bulk bytes are pooled or freed by hand,
// and a small young generation serves the rest as fast (docs/performance.md).
setFlagsFromString('--semi-space-growth-factor=1');

const usage = `usage: holdfast gateway [--config FILE]

  gateway   serve S3 (the default command)

Settings come from the environment and the configuration file; the README lists them.
`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const [command = 'gateway', ...rest] = positionals;
  if (values.help) process.stdout.write(usage);
  else if (command === 'gateway' && rest.length === 0)
    await runGateway({ environment: process.env, configPath: values.config });
  else fail(usage);
}

/** Exits 2: what was asked for is wrong, and the same call will never succeed. */
function fail(message: string): never {
  process.stderr.write(message.endsWith('\n') ? message : `${message}\n`);
  process.exit(2);
}

try {
  await main();
} catch (error) {
  if (error instanceof ConfigError) fail(`holdfast: ${error.message}`);
  if (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'))
    fail(`holdfast: ${error.message}\n\n${usage}`);
  // An operator needs the sentence; whoever debugs gets the stack.
  const isDebugging = process.env.HOLDFAST_LOG_LEVEL === 'debug';
  const said = error instanceof Error ? (isDebugging ? error.stack : error.message) : String(error);
  process.stderr.write(`holdfast: ${said}\n`);
  process.exit(1);
}
