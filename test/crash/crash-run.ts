import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type GatewayProcess, processKey, processRegion, startGatewayProcess } from '../harness/gateway-process.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';
import { Client } from './client.ts';
import { inspectData } from './inspect-data.ts';
import { Ledger } from './ledger.ts';
import { type Books, Load, putSource } from './load.ts';
import { Random } from './random.ts';
import { openBooks, verifyAfterCrash } from './verify.ts';

const program = fileURLToPath(new URL('../../bin/holdfast.ts', import.meta.url));
const connections = 8;
/** The share of kills that strike a server which is only just starting. */
const earlyKills = 0.2;

/** Upkeep is always at it, so that kills strike it too. */
const configuration = { limits: { freedGraceMs: 100, upkeepIntervalMs: 20 } };

export interface CrashReport {
  readonly kills: number;
  /** Requests that were answered between start and kill, of all rounds together. */
  readonly answered: number;
  /** How long each start took until the server was ready, in order. */
  readonly startsMs: readonly number[];
  readonly stripes: number;
}

/**
 * Starts a gateway, loads it, kills it at a random moment, starts it again over the same data and compares it with what
 * clients were told; as often as asked. In the end the data must hold nothing that is not needed.
 *
 * @param say is told of each round
 * @throws AssertionError and other errors, with the data directory left as it is
 */
export async function runCrashes(options: {
  readonly kills: number;
  readonly seed: number;
  readonly say: (text: string) => void;
}): Promise<CrashReport> {
  const { kills, seed, say } = options;
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-crash-'));
  const configPath = join(dataDir, 'configuration.json');
  await writeFile(configPath, JSON.stringify(configuration));
  const books = openBooks(new Ledger());
  const random = new Random(seed);
  const startsMs: number[] = [];
  let answered = 0;
  let gateway: GatewayProcess | undefined;
  try {
    for (let round = 0; round <= kills; round++) {
      const beganAtMs = performance.now();
      gateway = await startGatewayProcess({ dataDir, environment: { HOLDFAST_CONFIG: configPath } });
      startsMs.push(Math.round(performance.now() - beganAtMs));
      const client = connect(gateway);
      if (round === 0) await prepare(client, books);
      else await verifyAfterCrash(client, books, dataDir);
      if (round === kills) break;
      const isEarly = random.next() < earlyKills;
      const load = new Load(client, books, seed * 10_007 + round);
      answered += await killUnderLoad(gateway, load, random.between(20, 900));
      if (isEarly) await killAtStart(dataDir, configPath, random.between(30, 900));
      say(
        `kill ${round + 1}: ready after ${startsMs.at(-1)} ms, ${load.answered} answers${isEarly ? ', killed again at start' : ''}`,
      );
    }
    await gateway?.stop();
  } catch (error) {
    await gateway?.kill();
    throw new Error(`seed ${seed}, data in ${dataDir}`, { cause: error });
  }
  const { stripes } = await inspectData(dataDir);
  await rm(dataDir, { recursive: true, force: true });
  return { kills, answered, startsMs, stripes };
}

function connect({ url }: GatewayProcess): Client {
  return new Client(createSignedFetch(url, processKey, processRegion));
}

async function prepare(client: Client, books: Books): Promise<void> {
  await client.createBuckets();
  await putSource(client, books);
}

/** @returns how many requests were answered before the kill */
async function killUnderLoad(gateway: GatewayProcess, load: Load, afterMs: number): Promise<number> {
  const working = load.run(connections);
  // A wrong answer ends the run at once.
  await Promise.race([delay(afterMs), working]);
  await gateway.kill();
  await working;
  return load.answered;
}

/** Starts a server over the same data and kills it before it, or just after it, is ready. */
async function killAtStart(dataDir: string, configPath: string, afterMs: number): Promise<void> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'gateway'], {
    stdio: 'ignore',
    timeout: afterMs,
    killSignal: 'SIGKILL',
    env: {
      PATH: process.env.PATH,
      HOLDFAST_DATA_DIR: dataDir,
      HOLDFAST_CONFIG: configPath,
      HOLDFAST_LISTEN: '127.0.0.1:0',
      HOLDFAST_ADMIN_LISTEN: '127.0.0.1:0',
      HOLDFAST_ROOT_USER: processKey.accessKeyId,
      HOLDFAST_ROOT_PASSWORD: processKey.secretAccessKey,
    },
  });
  await once(child, 'exit');
}
