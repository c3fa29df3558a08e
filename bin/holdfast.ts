#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { ConfigError } from '../core/config.ts';
import { runGateway } from './run-gateway.ts';

// Under load V8 lets its young generation grow to what a process may hold in all; bulk bytes are pooled or freed by hand,
// and a small young generation serves the rest as fast (docs/performance.md).
setFlagsFromString('--semi-space-growth-factor=1');

const usage = `usage: holdfast gateway [--config FILE]
       holdfast node --data DIR [--listen HOST:PORT] [--metrics-listen HOST:PORT] [--id ID] [--reserve-bytes N]
                     [--tls-cert FILE --tls-key FILE]
       holdfast admin COMMAND ... (holdfast admin --help)
       holdfast recover --master-key FILE|HEX (--provider PATH [--provider PATH ...] | --config FILE) --data-dir DIR
                        [--full-scan]
       holdfast verify [--deep] [--json] [--config FILE]

  gateway   serve S3 (the default command)
  node      keep shards in one directory for gateways on other machines (docs/node-protocol.md); its key comes from
            HOLDFAST_NODE_KEY, else from the file node-key in DIR, which the first start makes
  admin     ask a running gateway, and change its fleet (docs/operations.md)
  recover   rebuild the metadata store from the providers alone (docs/recovery.md)
  verify    check the metadata against the shards, while no gateway runs

Settings come from the environment and the configuration file; the README lists them.
`;

async function main(): Promise<void> {
  const [first, ...others] = process.argv.slice(2);
  const isNamed = first !== undefined && !first.startsWith('-');
  const command = isNamed ? first : 'gateway';
  const args = isNamed ? others : process.argv.slice(2);
  const asksForHelp = args.includes('--help') || args.includes('-h');
  if (asksForHelp && command === 'admin') process.stdout.write((await import('./run-admin.ts')).adminUsage);
  else if (asksForHelp) process.stdout.write(usage);
  else if (command === 'gateway') await runGateway({ environment: process.env, ...parseGatewayArguments(args) });
  // Their code is loaded only where it is needed: the gateway's start is not to wait for it.
  else if (command === 'node') await (await import('./run-node.ts')).runNode(args, process.env);
  else if (command === 'admin') process.exitCode = await (await import('./run-admin.ts')).runAdmin(args, process.env);
  else if (command === 'recover') process.exitCode = await (await import('./run-recover.ts')).runRecover(args);
  else if (command === 'verify') {
    process.exitCode = await (await import('./run-verify.ts')).runVerify(args, process.env);
  } else fail(usage);
}

function parseGatewayArguments(args: string[]): { configPath: string | undefined } {
  const { values } = parseArgs({ args, options: { config: { type: 'string' } } });
  return { configPath: values.config };
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
