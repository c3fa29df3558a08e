import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '../../core/failure.ts';
import type { Engine } from '../../engine/engine.ts';
import { Random } from '../crash/random.ts';
import {
  bucketName,
  collect,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  stripeIdsOf,
} from '../engine/engine-harness.ts';
import { addTo, profiles, type ThrashWorld } from './thrash-world.ts';
import { absent, makeValue, type Read, Ticks, type Value, ValueHistory, type Write } from './value-history.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** In a thousand acts. */
const actShares = {
  put: 340,
  get: 335,
  range: 140,
  delete: 100,
  list: 30,
  copy: 30,
  multipart: 20,
  profile: 4,
  hold: 1,
} as const;
type ActName = keyof typeof actShares;

/** What an act takes by the clock of the engine, which is quicker than ours. */
const actMs = 400;

/** Some clients are slow to take what they asked for, while it may be overwritten and collected. */
const slowReadShare = 0.1;
const slowTakeMs = 25;

async function* takeSlowly(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk;
    await sleep(slowTakeMs);
  }
}

const actDeck = (Object.keys(actShares) as ActName[]).flatMap((name) => new Array<ActName>(actShares[name]).fill(name));

/** Clients that write, read, overwrite, copy, delete and list at once, and compare what they get with what it may be. */
export class ThrashClients {
  readonly counts = new Map<string, number>();
  readonly #world: ThrashWorld;
  readonly #random: Random;
  readonly #seed: number;
  readonly #keys = new Map<string, ValueHistory>();
  #written = 0;
  #done = 0;

  constructor(parts: { world: ThrashWorld; seed: number; keyCount: number }) {
    const { world, seed } = parts;
    this.#world = world;
    this.#seed = seed;
    this.#random = new Random(seed);
    const ticks = new Ticks();
    const journaledMs = (): number => world.gateway.journal.coversUntilMs();
    for (let at = 0; at < parts.keyCount; at++) this.#keys.set(`key ${at}`, new ValueHistory(ticks, journaledMs));
  }

  /** How many acts have ended. */
  get done(): number {
    return this.#done;
  }

  /** So many acts, by so many clients at once; less where the gateway dies meanwhile. */
  async run(acts: number, clients: number): Promise<void> {
    let left = acts;
    const { life } = this.#world.gateway;
    const client = async (): Promise<void> => {
      while (left-- > 0 && !life.isOver) {
        try {
          await this.#act();
        } catch (error) {
          // Whatever it says by now.
          if (!life.isOver) throw error;
          this.#count('cut off');
        }
        this.#done += 1;
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: clients }, client));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** While nobody writes: fails unless every key holds what it may hold, and nothing else is listed. Returns how many there are. */
  async assertAll(): Promise<number> {
    await this.#dropUploads();
    return this.#settleAll((history) => history.beginRead().end());
  }

  /** As `assertAll`, after the gateway's disk was lost. */
  async assertRecovered(possible: ReadonlyMap<string, readonly Value[]>): Promise<number> {
    await this.#dropUploads();
    return this.#settleAll((_, key) => possible.get(key) ?? []);
  }

  /** What each key may hold once the disk of the gateway is lost, which died. */
  listAfterLoss(): Map<string, Value[]> {
    return new Map(Array.from(this.#keys, ([key, history]) => [key, history.listAfterLoss()]));
  }

  /** While nobody writes: reads every key, and gets what it holds. */
  async readAll(): Promise<void> {
    for (const [key, history] of this.#keys) await this.#read(key, history);
  }

  async #settleAll(listPossible: (history: ValueHistory, key: string) => readonly Value[]): Promise<number> {
    const listed = new Map((await this.#list()).map(({ key, etag }) => [key, etag]));
    let objects = 0;
    for (const [key, history] of this.#keys) {
      const found = await this.#fetch(key);
      const value = pickValue(listPossible(history, key), found, key);
      assert.equal(listed.get(key), value.etag, `${key} as it is listed`);
      listed.delete(key);
      history.settle(value);
      if (value.etag !== undefined) objects += 1;
    }
    assert.deepEqual([...listed], [], 'nothing else is there');
    return objects;
  }

  get #engine(): Engine {
    return this.#world.gateway.engine;
  }

  async #act(): Promise<void> {
    this.#world.clock.nowMs += actMs;
    const name = this.#random.pick(actDeck);
    const [key, history] = this.#random.pick([...this.#keys]);
    this.#count(name);
    switch (name) {
      case 'get':
        await this.#read(key, history);
        return;
      case 'range':
        return this.#readRange(key, history);
      case 'list':
        return this.#checkList();
      case 'put':
        return this.#put(key, history, this.#drawBytes());
      case 'delete':
        return this.#delete(key, history);
      case 'multipart':
        return this.#upload(key, history);
      case 'copy':
        return this.#copy(key, history);
      case 'profile':
        return this.#changeProfile();
      case 'hold':
        return this.#holdRead(key, history);
    }
  }

  /**
   * Does what a write does, and notes what came of it.
   *
   * @param isAllOrNothing whether a write for which too few providers were there has changed nothing; else the metadata may have changed, and
   *   it was the journal that could not be written
   */
  async #write(
    history: ValueHistory,
    value: Parameters<ValueHistory['begin']>[0],
    isAllOrNothing: boolean,
    work: (write: Write) => Promise<void>,
  ): Promise<void> {
    const { life } = this.#world.gateway;
    const write = history.begin(value);
    const nowMs = (): number => this.#world.clock.now();
    try {
      await work(write);
      history.end(write, nowMs());
    } catch (error) {
      if (life.isOver) {
        history.doubt(write);
        throw error;
      }
      // There was nothing to copy, or each time that it tried it was overwritten, and collected.
      if (isFailure(error, 'object-missing') || isFailure(error, 'stripe-missing')) {
        history.refuse(write, Number.NEGATIVE_INFINITY);
        this.#count(error.kind === 'stripe-missing' ? 'overtaken' : 'nothing to copy');
        return;
      }
      if (!isFailure(error, 'too-few-writes')) throw error;
      if (isAllOrNothing) history.refuse(write, nowMs());
      else history.doubt(write);
      this.#count('refused');
    }
  }

  async #put(key: string, history: ValueHistory, sizeBytes: number): Promise<void> {
    const value = makeValue(this.#drawLabel(), sizeBytes);
    // What has no bytes lies in the metadata alone.
    await this.#write(history, value, sizeBytes > 0, async () => {
      const storageClass = await this.#chooseClass();
      const payload = payloadOf(value.bytes());
      const request = { bucket: bucketName, key, ownerId, payload, attributes: { ...plainAttributes, storageClass } };
      const { etag } = await this.#engine.objects.put(request, never);
      assert.equal(etag, value.etag);
    });
  }

  async #delete(key: string, history: ValueHistory): Promise<void> {
    await this.#write(history, absent, true, async () => {
      const nowMs = this.#world.clock.now();
      await this.#engine.objects.delete({ bucket: bucketName, key, ownerId, nowMs });
    });
  }

  async #upload(key: string, history: ValueHistory): Promise<void> {
    const { uploads } = this.#engine;
    const lengths = [this.#drawBytes() + 1, this.#drawBytes() + 1];
    const value = makeValue(this.#drawLabel(), lengths[0]! + lengths[1]!, lengths);
    const target = { bucket: bucketName, key };
    await this.#write(history, value, false, async () => {
      const attributes = { ...plainAttributes, storageClass: await this.#chooseClass() };
      const { uploadId } = await uploads.create({ ...target, ownerId, attributes });
      const upload = { ...target, uploadId };
      const bytes = value.bytes();
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
      const { etag } = await uploads.complete({ ...upload, parts: listed }, never);
      assert.equal(etag, value.etag);
    });
  }

  /** Another object comes to this key, sharing its stripes or written anew by another profile. */
  async #copy(key: string, history: ValueHistory): Promise<void> {
    const [sourceKey, source] = this.#random.pick([...this.#keys]);
    if (sourceKey === key) return;
    const reading = source.beginRead();
    let isListing = false;
    const listCopied = (): Value[] => {
      // The source may be written with a copy of this key in the same moment: what comes round adds nothing.
      if (isListing) return [];
      isListing = true;
      try {
        return reading.list().filter(({ etag }) => etag !== undefined);
      } finally {
        isListing = false;
      }
    };
    try {
      await this.#write(history, listCopied, false, async (write) => {
        const { version } = await this.#engine.objects.copy(
          {
            bucket: bucketName,
            key,
            ownerId,
            source: { bucket: bucketName, key: sourceKey },
            storageClass: await this.#chooseClass(),
          },
          never,
        );
        const copied = pickValue(listCopied(), { etag: version.etag }, `the copy of ${sourceKey}`);
        write.values = () => [copied];
      });
    } finally {
      reading.end();
    }
  }

  /** From now on what is written without a storage class goes by another profile. */
  async #changeProfile(): Promise<void> {
    const { name } = this.#random.pick(profiles);
    try {
      await this.#engine.buckets.setProfile(bucketName, name === 'STANDARD' ? undefined : name);
    } catch (error) {
      if (!isFailure(error, 'too-few-writes')) throw error;
      this.#count('refused');
    }
  }

  /** As the gateway does for who names none. */
  async #chooseClass(): Promise<string> {
    return (await this.#engine.buckets.get(bucketName)).profileName ?? 'STANDARD';
  }

  /** Begins to read a long object, and goes on when it was deleted long ago and upkeep has collected what could be. */
  async #holdRead(key: string, history: ValueHistory): Promise<void> {
    const { engine, upkeep, metadata } = this.#world.gateway;
    await this.#put(key, history, this.#random.between(2.3 * MiB, 3.2 * MiB));
    const reading = history.beginRead();
    try {
      const opened = await engine.objects.open({ bucket: bucketName, key });
      let isBegun = false;
      const got: Uint8Array[] = [];
      for await (const chunk of opened.read(never)) {
        got.push(chunk);
        if (isBegun) continue;
        isBegun = true;
        await this.#delete(key, history);
        await upkeep.runOnce();
      }
      const found = { etag: opened.version.etag, bytes: Buffer.concat(got) };
      const value = pickValue(reading.list(), found, `a long read of ${key}`);
      const freed = (await metadata.listFreedStripes(Number.POSITIVE_INFINITY, 100_000)).map(({ id }) => id);
      const isFreed = stripeIdsOf(opened.version).some((id) => freed.includes(id));
      if (value.sizeBytes > 2 * MiB && isFreed) this.#count('outlived');
    } catch (error) {
      if (!isFailure(error, 'object-missing')) throw error;
    } finally {
      reading.end();
    }
  }

  /** Reads a key whole. */
  async #read(key: string, history: ValueHistory): Promise<void> {
    const reading = history.beginRead();
    try {
      const found = await this.#fetch(key);
      pickValue(reading.list(), found, key);
    } finally {
      reading.end();
    }
  }

  async #readRange(key: string, history: ValueHistory): Promise<void> {
    const part = this.#random.next();
    const first = Math.floor(part * part * part * 400 * KiB);
    const last = first + this.#random.between(0, 100 * KiB);
    const reading = history.beginRead();
    try {
      const found = await this.#fetch(key, { kind: 'from', first, last });
      if (found.isOutside) return;
      pickValue(reading.list(), found, `a range of ${key}`, (whole) => whole.subarray(first, last + 1));
    } finally {
      reading.end();
    }
  }

  async #fetch(key: string, range?: { kind: 'from'; first: number; last: number }): Promise<Found> {
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
    const reads = new Map<string, Read>(Array.from(this.#keys, ([key, history]) => [key, history.beginRead()]));
    try {
      const listed = new Map((await this.#list()).map(({ key, etag }) => [key, etag]));
      for (const [key, reading] of reads)
        pickValue(reading.list(), { etag: listed.get(key) }, `${key} as it is listed`);
    } finally {
      for (const reading of reads.values()) reading.end();
    }
  }

  async #list(): Promise<{ key: string; etag: string }[]> {
    const page = await this.#engine.objects.list({ bucket: bucketName, limit: 1_000 });
    return page.objects.map(({ key, etag }) => ({ key, etag }));
  }

  /** Nobody goes on with them: they were cut off, or their end was undone. */
  async #dropUploads(): Promise<void> {
    const { uploads } = await this.#engine.uploads.list({ bucket: bucketName, limit: 1_000 });
    for (const { key, uploadId } of uploads) await this.#engine.uploads.abort({ bucket: bucketName, key, uploadId });
  }

  #drawLabel(): string {
    return `${this.#seed} ${this.#written++}`;
  }

  /** Most fit into packs; some have a stripe of their own, of one row or of several, and a few have several stripes. */
  #drawBytes(): number {
    const chance = this.#random.next();
    if (chance < 0.82) return this.#random.between(0, 8 * KiB);
    if (chance < 0.95) return this.#random.between(8 * KiB, 140 * KiB);
    if (chance < 0.998) return this.#random.between(140 * KiB, 600 * KiB);
    return chance < 0.9998 ? this.#random.between(1, 3 * MiB) : 18 * MiB;
  }

  #count(name: string): void {
    addTo(this.counts, name, 1);
  }
}

/** What a read came to. */
interface Found {
  readonly etag: string | undefined;
  readonly bytes?: Buffer;
  /** Whether there was nothing at the range asked for. */
  readonly isOutside?: boolean;
}

/** Which of the values that may be there it was. Fails for any other. */
function pickValue(
  possible: readonly Value[],
  { etag, bytes }: Found,
  what: string,
  cut: (whole: Buffer) => Buffer = (whole) => whole,
): Value {
  const value = possible.find((each) => each.etag === etag);
  assert.ok(value, `${what} is ${etag}, which is none of ${possible.map((each) => each.etag)}`);
  if (bytes) assert.ok(cut(value.bytes()).equals(bytes), `${what} has other bytes`);
  return value;
}
