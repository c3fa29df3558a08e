import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '../../core/failure.ts';
import type { Engine } from '../../engine/engine.ts';
import { Random } from '../crash/random.ts';
import { bucketName, collect, never, ownerId, payloadOf, plainAttributes } from '../engine/engine-harness.ts';
import { absent, makeValue, Ticks, type Value, ValueHistory } from './value-history.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

export const actNames = ['put', 'get', 'range', 'delete', 'list', 'multipart'] as const;
export type ActName = (typeof actNames)[number];

/** What an act takes by the clock of the engine, which is quicker than ours. */
const actMs = 400;

const actShares: Readonly<Record<ActName, number>> = { put: 36, get: 34, range: 14, delete: 10, list: 3, multipart: 3 };

/** Some clients are slow to take what they asked for, while it may be overwritten and collected. */
const slowReadShare = 0.1;
const slowTakeMs = 25;

async function* takeSlowly(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk;
    await sleep(slowTakeMs);
  }
}

const actDeck = actNames.flatMap((name) => new Array<ActName>(actShares[name]).fill(name));

/** Clients that write, read, overwrite, delete and list at once, and compare what they get with what it may be. */
export class ThrashClients {
  readonly counts = new Map<string, number>();
  readonly #random: Random;
  readonly #seed: number;
  readonly #ticks = new Ticks();
  readonly #keys = new Map<string, ValueHistory>();
  readonly #clock: { nowMs: number };
  #engine: Engine;
  #written = 0;
  #done = 0;

  constructor(parts: { engine: Engine; seed: number; keyCount: number; clock: { nowMs: number } }) {
    this.#engine = parts.engine;
    this.#seed = parts.seed;
    this.#random = new Random(parts.seed);
    this.#clock = parts.clock;
    for (let at = 0; at < parts.keyCount; at++) this.#keys.set(`key ${at}`, new ValueHistory(this.#ticks));
  }

  /** How many acts have ended. */
  get done(): number {
    return this.#done;
  }

  /** From now on they talk to another engine. Nothing may be under way. */
  turnTo(engine: Engine): void {
    this.#engine = engine;
  }

  /** So many acts, by so many clients at once. */
  async run(acts: number, clients: number): Promise<void> {
    let left = acts;
    const client = async (): Promise<void> => {
      while (left-- > 0) {
        await this.#act();
        this.#done += 1;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: clients }, client));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** While nobody writes: fails unless every key holds what it may hold, and nothing else is listed. Returns how many there are. */
  async assertAll(): Promise<number> {
    const listed = new Map((await this.#list()).map(({ key, etag }) => [key, etag]));
    let objects = 0;
    for (const [key, history] of this.#keys) {
      const value = await this.#read(key, history);
      assert.equal(listed.get(key), value.etag, `${key} as it is listed`);
      listed.delete(key);
      history.settle(value);
      if (value.etag !== undefined) objects += 1;
    }
    assert.deepEqual([...listed], [], 'nothing else is there');
    return objects;
  }

  async #act(): Promise<void> {
    this.#clock.nowMs += actMs;
    const name = this.#drawAct();
    const [key, history] = this.#random.pick([...this.#keys]);
    this.#count(name);
    if (name === 'get') await this.#read(key, history);
    else if (name === 'range') await this.#readRange(key, history);
    else if (name === 'list') await this.#checkList();
    else await this.#write(name, key, history);
  }

  async #write(name: 'put' | 'delete' | 'multipart', key: string, history: ValueHistory): Promise<void> {
    const label = `${this.#seed} ${this.#written++}`;
    const parts = name === 'multipart' ? [this.#drawBytes() + 1, this.#drawBytes() + 1] : undefined;
    const sizeBytes = parts ? parts[0]! + parts[1]! : this.#drawBytes();
    const value = name === 'delete' ? absent : makeValue(label, sizeBytes, parts);
    const write = history.begin(value);
    try {
      if (name === 'put') await this.#put(key, value);
      else if (parts) await this.#upload(key, value, parts);
      else await this.#engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs: this.#clock.nowMs });
      history.end(write);
    } catch (error) {
      // Too many providers failed in its midst: refused, and so nothing of it may ever be seen.
      if (!isFailure(error, 'too-few-writes')) throw error;
      history.refuse(write);
      this.#count('refused');
    }
  }

  async #put(key: string, value: Value): Promise<void> {
    const payload = payloadOf(value.bytes());
    const request = { bucket: bucketName, key, ownerId, payload, attributes: plainAttributes };
    const { etag } = await this.#engine.objects.put(request, never);
    assert.equal(etag, value.etag);
  }

  async #upload(key: string, value: Value, lengths: readonly number[]): Promise<void> {
    const { uploads } = this.#engine;
    const bytes = value.bytes();
    const target = { bucket: bucketName, key };
    const { uploadId } = await uploads.create({ ...target, ownerId, attributes: plainAttributes });
    const upload = { ...target, uploadId };
    let at = 0;
    const jobs = lengths.map((length, index) => {
      const piece = bytes.subarray(at, at + length);
      at += length;
      return uploads.putPart({ ...upload, partNumber: index + 1, payload: payloadOf(piece) }, never);
    });
    const ended = await Promise.allSettled(jobs);
    const failed = ended.find((each) => each.status === 'rejected');
    if (failed) {
      await uploads.abort(upload);
      throw failed.reason;
    }
    const parts = ended.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const listed = parts.map(({ partNumber, etag }) => ({ partNumber, etag }));
    await uploads.complete({ ...upload, parts: listed }, never);
  }

  /** Reads a key whole. Returns which of the values that it may hold it was. */
  async #read(key: string, history: ValueHistory): Promise<Value> {
    const end = history.beginRead();
    const found = await this.#fetch(key);
    const possible = end();
    const value = possible.find(({ etag }) => etag === found.etag);
    assert.ok(value, `${key} holds ${found.etag}, which is none of ${possible.map(({ etag }) => etag)}`);
    if (found.bytes) assert.ok(value.bytes().equals(found.bytes), `other bytes in ${key}`);
    return value;
  }

  async #readRange(key: string, history: ValueHistory): Promise<void> {
    const end = history.beginRead();
    const part = this.#random.next();
    const first = Math.floor(part * part * part * 400 * KiB);
    const last = first + this.#random.between(0, 100 * KiB);
    const found = await this.#fetch(key, { kind: 'from', first, last });
    const possible = end();
    const value = possible.find(({ etag }) => etag === found.etag);
    if (found.isOutside) return;
    assert.ok(value, `a range of ${key} is of ${found.etag}, which is none of ${possible.map(({ etag }) => etag)}`);
    if (found.bytes) {
      assert.ok(
        value
          .bytes()
          .subarray(first, last + 1)
          .equals(found.bytes),
        `other bytes in a range of ${key}`,
      );
    }
  }

  async #fetch(
    key: string,
    range?: { kind: 'from'; first: number; last: number },
  ): Promise<{ etag: string | undefined; bytes?: Buffer; isOutside?: boolean }> {
    for (;;) {
      try {
        const opened = await this.#engine.objects.open({ bucket: bucketName, key, ...(range && { range }) });
        const bytes = await collect(
          this.#random.next() < slowReadShare ? takeSlowly(opened.read(never)) : opened.read(never),
        );
        assert.equal(bytes.length, opened.length, `the length of ${key}`);
        return { etag: opened.version.etag, bytes };
      } catch (error) {
        if (isFailure(error, 'object-missing')) return { etag: undefined };
        if (isFailure(error, 'range-not-satisfiable')) return { etag: undefined, isOutside: true };
        // It was overwritten, and what it held collected, between opening and reading it.
        if (!isFailure(error, 'stripe-missing')) throw error;
        this.#count('overtaken');
      }
    }
  }

  async #checkList(): Promise<void> {
    const ends = Array.from(this.#keys, ([key, history]) => ({ key, end: history.beginRead() }));
    const listed = new Map((await this.#list()).map(({ key, etag }) => [key, etag]));
    for (const { key, end } of ends) {
      const etags = end().map(({ etag }) => etag);
      assert.ok(etags.includes(listed.get(key)), `${key} is listed with ${listed.get(key)}, none of ${etags}`);
    }
  }

  async #list(): Promise<{ key: string; etag: string }[]> {
    const page = await this.#engine.objects.list({ bucket: bucketName, limit: 1_000 });
    return page.objects.map(({ key, etag }) => ({ key, etag }));
  }

  #drawAct(): ActName {
    return this.#random.pick(actDeck);
  }

  /** Most fit into packs; some have a stripe of their own, of one row or of several, and a few have several stripes. */
  #drawBytes(): number {
    const chance = this.#random.next();
    if (chance < 0.82) return this.#random.between(0, 8 * KiB);
    if (chance < 0.95) return this.#random.between(8 * KiB, 140 * KiB);
    if (chance < 0.997) return this.#random.between(140 * KiB, 600 * KiB);
    return chance < 0.9998 ? this.#random.between(1, 3 * MiB) : 18 * MiB;
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}
