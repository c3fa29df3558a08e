import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import { Random } from '../crash/random.ts';
import { measureDiskUse } from './disk-use.ts';
import { type GatewayProcess, processKey, processRegion } from './gateway-process.ts';
import { patternBytes } from './pattern-bytes.ts';
import { createSignedFetch, type SignedFetch } from './signed-fetch.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const clients = 16;
const pollMs = 250;
/** Profile STANDARD: what live bytes need at k+m. */
const expansion = 6 / 4;
/** How many objects are read back in the end. */
const sampleSize = 200;

export interface ChurnOptions {
  readonly seed: number;
  readonly smallObjects: number;
  readonly largeObjects: number;
  /** Objects are overwritten, deleted and added until so many times the live bytes have been written in all. */
  readonly turnover: number;
  /** Waiting ends when the disk use has not fallen by one part in a hundred for so long. */
  readonly quietMs: number;
  /** Or as soon as the ratio is this good. */
  readonly enough?: number;
}

export interface ChurnReport {
  readonly objects: number;
  readonly liveBytes: number;
  readonly writtenBytes: number;
  /** Of all provider folders. */
  readonly diskBytes: number;
  /** Disk use over live bytes times (k+m)/k, and what it was when the last request was answered. */
  readonly ratio: number;
  readonly ratioAtOnce: number;
  readonly settledMs: number;
}

/**
 * Fills a gateway with small and large objects, overwrites and deletes at random, and waits until upkeep has given back
 * what it can. Fails for an object that does not have its bytes in the end.
 */
export async function churn(gateway: GatewayProcess, options: ChurnOptions): Promise<ChurnReport> {
  const objects = new ChurnedObjects(createSignedFetch(gateway.url, processKey, processRegion), options.seed);
  await objects.createBucket();
  const { smallObjects, largeObjects, turnover } = options;
  const kinds = [...Array(smallObjects).fill('small'), ...Array(largeObjects).fill('large')] as SizeKind[];
  await forEachBounded(kinds, clients, (kind) => objects.add(kind));
  const rounds = [...Array(kinds.length).keys()];
  do await forEachBounded(rounds, clients, () => objects.change());
  while (objects.writtenBytes < turnover * objects.liveBytes);
  const providers = join(gateway.dataDir, 'providers');
  const { liveBytes } = objects;
  const ratioOf = (diskBytes: number): number => diskBytes / (liveBytes * expansion);
  const ratioAtOnce = ratioOf(await measureDiskUse(providers));
  const beganAtMs = performance.now();
  const diskBytes = await waitUntilSettled(providers, options, ratioOf);
  const settledMs = performance.now() - beganAtMs;
  await objects.verifySample();
  const { writtenBytes, count } = objects;
  return { objects: count, liveBytes, writtenBytes, diskBytes, ratio: ratioOf(diskBytes), ratioAtOnce, settledMs };
}

async function waitUntilSettled(
  folder: string,
  { quietMs, enough = 0 }: ChurnOptions,
  ratioOf: (diskBytes: number) => number,
): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  let leastAtMs = performance.now();
  for (;;) {
    const diskBytes = await measureDiskUse(folder);
    if (diskBytes < least * 0.99) {
      least = diskBytes;
      leastAtMs = performance.now();
    }
    if (ratioOf(diskBytes) <= enough || performance.now() - leastAtMs > quietMs) return diskBytes;
    await delay(pollMs);
  }
}

type SizeKind = 'small' | 'large';

class ChurnedObjects {
  readonly #fetch: SignedFetch;
  readonly #random: Random;
  /** Keys and what they hold, but for those that a request is at. */
  readonly #live = new Map<string, { readonly sizeBytes: number; readonly seed: number; readonly kind: SizeKind }>();
  #keys: string[] = [];
  #next = 0;
  writtenBytes = 0;

  constructor(fetch: SignedFetch, seed: number) {
    this.#fetch = fetch;
    this.#random = new Random(seed);
  }

  get count(): number {
    return this.#live.size;
  }

  get liveBytes(): number {
    return [...this.#live.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  async createBucket(): Promise<void> {
    assert.equal((await this.#fetch('PUT', '/churn')).status, 200);
  }

  async add(kind: SizeKind): Promise<void> {
    await this.#put(`${kind}/${this.#next++}`, kind);
  }

  /** Overwrites an object, deletes one, or adds one; deletes and additions hold each other in balance. */
  async change(): Promise<void> {
    const dice = this.#random.next();
    const at = Math.floor(this.#random.next() * this.#keys.length);
    const key = this.#keys[at];
    const { kind } = (key !== undefined && this.#live.get(key)) || { kind: 'small' as const };
    if (dice < 0.2 || key === undefined) return this.add(kind);
    // Nobody else is to choose it meanwhile.
    this.#keys[at] = this.#keys.at(-1)!;
    this.#keys.pop();
    if (dice < 0.6) return this.#put(key, kind);
    this.#live.delete(key);
    assert.equal((await this.#fetch('DELETE', `/churn/${key}`)).status, 204);
    if (dice >= 0.8) await this.add(kind);
  }

  async #put(key: string, kind: SizeKind): Promise<void> {
    const sizeBytes = kind === 'small' ? this.#random.between(1, 64 * KiB) : this.#random.between(MiB, 6 * MiB);
    const seed = this.#random.between(0, 2 ** 30);
    const answer = await this.#fetch('PUT', `/churn/${key}`, {
      body: patternBytes(sizeBytes, seed),
      payloadHash: 'UNSIGNED-PAYLOAD',
    });
    assert.equal(answer.status, 200, answer.text);
    this.writtenBytes += sizeBytes;
    this.#live.set(key, { sizeBytes, seed, kind });
    this.#keys.push(key);
  }

  async verifySample(): Promise<void> {
    const step = Math.max(1, Math.floor(this.#live.size / sampleSize));
    const chosen = [...this.#live].filter((_, index) => index % step === 0);
    await forEachBounded(chosen, clients, async ([key, { sizeBytes, seed }]) => {
      const answer = await this.#fetch('GET', `/churn/${key}`);
      assert.ok(answer.status === 200 && answer.body.equals(patternBytes(sizeBytes, seed)), `${key} after churn`);
    });
  }
}
