import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DurableStep } from '../../core/durable-steps.ts';
import {
  type GatewayProcess,
  processKey,
  processRegion,
  StartFailure,
  startGatewayProcess,
} from '../harness/gateway-process.ts';
import { listTemporaryFiles } from '../harness/shard-files.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';
import { Client } from './client.ts';
import { crashConfiguration, crashProviderIds } from './crash-configuration.ts';
import { inspectData } from './inspect-data.ts';
import { armProcess, type Kill } from './kill-plan.ts';
import { Ledger } from './ledger.ts';
import { type Books, Load, putSource } from './load.ts';
import { openBooks, type Scope, verifyAfterCrash } from './verify.ts';

const connections = 8;
/** What nobody wrote is moved or taken away here: after a death at one of these everything is compared, and else now and then. */
const movingSteps: ReadonlySet<DurableStep> = new Set([
  'segment-emptied',
  'segment-unlinked',
  'compaction-stored',
  'compaction-moved',
  'freed-deleted',
]);
const roundsBetweenFull = 16;
/** How long a server is loaded until a step must have come; then it is killed where it is. */
const stepTimeoutMs = 2000;
/** How long a process may take to be gone after its connections broke. */
const deathTimeoutMs = 2000;

/** What became of one kill. */
export interface KillOutcome {
  readonly kill: Kill;
  /** Whether the process died as planned; a step may not have come. */
  readonly isDone: boolean;
  /** Whether it died before it served. */
  readonly atStart: boolean;
  readonly answered: number;
}

/** A data directory with one gateway after the other over it, and what their clients were told. */
export class CrashLane {
  readonly #dataDir: string;
  readonly #configPath: string;
  readonly #books: Books = openBooks(new Ledger());
  readonly #seed: number;
  #round = 0;
  /** Since when nothing but a comparison of everything will do. */
  #owesFull = false;
  /** How long each start took until the server was ready, in order. */
  readonly startsMs: number[] = [];

  private constructor(dataDir: string, seed: number) {
    this.#dataDir = dataDir;
    this.#configPath = join(dataDir, 'configuration.json');
    this.#seed = seed;
  }

  static async open(seed: number): Promise<CrashLane> {
    const lane = new CrashLane(await mkdtemp(join(tmpdir(), 'holdfast-crash-')), seed);
    await writeFile(lane.#configPath, JSON.stringify(crashConfiguration(lane.#dataDir)));
    const gateway = await lane.#start();
    const client = connect(gateway);
    await client.createBuckets();
    await putSource(client, lane.#books);
    // In order, so that what node compiled is kept for all starts to come.
    await gateway.stop();
    return lane;
  }

  /**
   * Starts a gateway, compares it with what clients were told by those before, and has it die as planned.
   *
   * @throws Error with the cause, and the data directory left as it is
   */
  async strike(kill: Kill): Promise<KillOutcome> {
    this.#round += 1;
    try {
      const outcome = await (kill.kind === 'start' ? this.#strikeAtStart(kill) : this.#strikeUnderLoad(kill));
      this.#owesFull ||= kill.kind === 'step' && movingSteps.has(kill.step);
      return outcome;
    } catch (error) {
      throw this.#explain(error, kill);
    }
  }

  /** Compares once more, then lets upkeep loose: the data must hold nothing that is not needed. Deletes them. */
  async close(): Promise<{ readonly stripes: number }> {
    try {
      const gateway = await this.#start();
      await verifyAfterCrash(connect(gateway), this.#books, { kind: 'all' });
      await gateway.stop();
      const { stripes } = await inspectData(this.#dataDir);
      await rm(this.#dataDir, { recursive: true, force: true });
      return { stripes };
    } catch (error) {
      throw this.#explain(error, undefined);
    }
  }

  async #start(options: Partial<Parameters<typeof startGatewayProcess>[0]> = {}): Promise<GatewayProcess> {
    const beganAtMs = performance.now();
    const environment = { HOLDFAST_CONFIG: this.#configPath, ...options.environment };
    const leftOver = this.#round === 0 ? [] : await listTemporaryFiles(this.#dataDir, crashProviderIds);
    const gateway = await startGatewayProcess({ ...options, dataDir: this.#dataDir, environment });
    this.startsMs.push(Math.round(performance.now() - beganAtMs));
    const stayed = (await listTemporaryFiles(this.#dataDir, crashProviderIds)).filter((path) =>
      leftOver.includes(path),
    );
    assert.deepEqual(stayed, [], 'what was being written at the crash is still there');
    return gateway;
  }

  async #strikeAtStart(kill: Extract<Kill, { kind: 'start' }>): Promise<KillOutcome> {
    try {
      const gateway = await this.#start({ signal: AbortSignal.timeout(kill.afterMs) });
      await gateway.kill();
    } catch (error) {
      if (!wasKilled(error)) throw error;
    }
    return { kill, isDone: true, atStart: true, answered: 0 };
  }

  async #strikeUnderLoad(kill: Exclude<Kill, { kind: 'start' }>): Promise<KillOutcome> {
    let gateway: GatewayProcess;
    try {
      gateway = await this.#start(armProcess(kill));
    } catch (error) {
      if (kill.kind !== 'step' || !wasKilled(error)) throw error;
      return { kill, isDone: true, atStart: true, answered: 0 };
    }
    const load = new Load(connect(gateway), this.#books, this.#seed * 10_007 + this.#round);
    try {
      // An armed process may die while it is compared: then the rest is compared the next time.
      const isCompared = await this.#compare(gateway, kill);
      if (isCompared) await this.#loadUntilDeath(gateway, load, kill);
    } finally {
      await gateway.kill();
    }
    const isDone = kill.kind === 'moment' || gateway.readLog().endsWith(`killed at ${kill.step}\n`);
    return { kill, isDone, atStart: false, answered: load.answered };
  }

  /** @returns false where the process died of its step meanwhile */
  async #compare(gateway: GatewayProcess, kill: Kill): Promise<boolean> {
    try {
      this.#owesFull ||= this.#round % roundsBetweenFull === 0;
      const scope: Scope = this.#owesFull ? { kind: 'all' } : { kind: 'changed', turn: this.#round };
      await verifyAfterCrash(connect(gateway), this.#books, scope);
      this.#owesFull = false;
      return true;
    } catch (error) {
      // A connection that broke is only excused by a process that is dead.
      const isDead = isBroken(error) && (await Promise.race([gateway.ended, delay(deathTimeoutMs)])) !== undefined;
      if (kill.kind === 'step' && isDead) return false;
      throw new Error(`the gateway's log ends so:\n${gateway.readLog()}`, { cause: error });
    }
  }

  async #loadUntilDeath(gateway: GatewayProcess, load: Load, kill: Exclude<Kill, { kind: 'start' }>): Promise<void> {
    const working = load.run(connections);
    const timer = new AbortController();
    const afterMs = kill.kind === 'moment' ? kill.afterMs : stepTimeoutMs;
    const waiting = delay(afterMs, undefined, { signal: timer.signal }).catch(() => undefined);
    // A wrong answer ends the run at once.
    await Promise.race([waiting, gateway.ended, working]);
    timer.abort();
    await gateway.kill();
    await working;
  }

  #explain(error: unknown, kill: Kill | undefined): Error {
    const what = `round ${this.#round} (${JSON.stringify(kill ?? 'the end')}), seed ${this.#seed}, data in ${this.#dataDir}`;
    return new Error(what, { cause: error });
  }
}

function connect({ url }: GatewayProcess): Client {
  return new Client(createSignedFetch(url, processKey, processRegion));
}

function wasKilled(error: unknown): boolean {
  return error instanceof StartFailure && error.signal === 'SIGKILL';
}

/** What a client sees when the server is gone. */
function isBroken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(code);
}
