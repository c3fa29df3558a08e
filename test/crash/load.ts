import assert from 'node:assert/strict';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { type Client, plainBucket, UnexpectedAnswer, versionedBucket } from './client.ts';
import { type Ledger, toValue, type Value } from './ledger.ts';
import { Random } from './random.ts';
import { joinParts, type KnownUpload } from './upload-ledger.ts';
import { type OpenChange, VersionHistory } from './version-ledger.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** An object that is never changed, long enough to copy parts from. */
export const sourceKey = 'source';
const sourceBytes = 5 * MiB;

/** What clients were told, and what they still wait for: it outlives the servers that it is about. */
export interface Books {
  readonly plain: Ledger;
  readonly versioned: Map<string, VersionHistory>;
  readonly uploads: KnownUpload[];
}

const keys = Array.from({ length: 20 }, (_, index) => `folder-${index % 4}/key-${index}`);
const versionedKeys = Array.from({ length: 4 }, (_, index) => `key-${index}`);
const assembledKeys = ['assembled/a', 'assembled/b'];
/** Past this, versions are removed rather than added, so that a long run does not check ever more of them. */
const versionsPerKey = 4;

/** Writes the object that parts are copied from. */
export async function putSource(client: Client, { plain }: Books): Promise<void> {
  const value = toValue(patternBytes(sourceBytes, 'source'));
  const write = plain.beginWrite(sourceKey, { value });
  await client.put(plainBucket, sourceKey, value);
  plain.acknowledge(write);
}

/** Keeps a server busy over several connections until it is gone. What is asked for depends on the seed alone. */
export class Load {
  readonly #client: Client;
  readonly #books: Books;
  readonly #seed: number;
  readonly #busyUploads = new Set<KnownUpload>();
  /** Requests that were answered. */
  answered = 0;

  constructor(client: Client, books: Books, seed: number) {
    this.#client = client;
    this.#books = books;
    this.#seed = seed;
  }

  /** Resolves when the server no longer answers. @throws UnexpectedAnswer, AssertionError */
  async run(connections: number): Promise<void> {
    await Promise.all(
      Array.from({ length: connections }, (_, index) => this.#work(new Random(this.#seed * 64 + index))),
    );
  }

  async #work(random: Random): Promise<void> {
    for (;;) {
      try {
        await this.#act(random);
        this.answered += 1;
      } catch (error) {
        if (error instanceof UnexpectedAnswer || error instanceof assert.AssertionError) throw error;
        return;
      }
    }
  }

  #act(random: Random): Promise<void> {
    const dice = random.next();
    if (dice < 0.42) return this.#put(random);
    if (dice < 0.52) return this.#remove(random);
    if (dice < 0.55) return this.#removeMany(random);
    if (dice < 0.63) return this.#copy(random);
    if (dice < 0.73) return this.#get(random);
    if (dice < 0.83) return this.#changeVersions(random);
    return this.#workOnUpload(random);
  }

  async #put(random: Random): Promise<void> {
    const key = random.pick(keys);
    const value = makeValue(random);
    const write = this.#books.plain.beginWrite(key, { value });
    await this.#client.put(plainBucket, key, value);
    this.#books.plain.acknowledge(write);
  }

  async #remove(random: Random): Promise<void> {
    const key = random.pick(keys);
    const write = this.#books.plain.beginWrite(key, { value: undefined });
    await this.#client.remove(plainBucket, key);
    this.#books.plain.acknowledge(write);
  }

  async #removeMany(random: Random): Promise<void> {
    const chosen = [...new Set([random.pick(keys), random.pick(keys), random.pick(keys)])];
    const writes = chosen.map((key) => this.#books.plain.beginWrite(key, { value: undefined }));
    await this.#client.removeMany(chosen);
    for (const write of writes) this.#books.plain.acknowledge(write);
  }

  async #copy(random: Random): Promise<void> {
    const { plain } = this.#books;
    const [source, key] = [random.pick(keys), random.pick(keys)];
    const write = plain.beginWrite(key, undefined, source);
    const etag = await this.#client.copy(source, key);
    const values = plain.possibleValues(source, write.beganAt);
    const value = values.find((each) => each?.etag === etag);
    assert.ok(
      values.some((each) => each?.etag === etag),
      `the copy of ${source} has the ETag ${etag}, which it had not`,
    );
    if (value === undefined) plain.refuse(write);
    else plain.acknowledge(write, { value });
  }

  async #get(random: Random): Promise<void> {
    const key = random.pick([...keys, ...assembledKeys]);
    const moment = this.#books.plain.now();
    const found = await this.#client.get(plainBucket, key);
    requirePossible(key, found, this.#books.plain.possibleValues(key, moment));
  }

  async #changeVersions(random: Random): Promise<void> {
    const key = random.pick(versionedKeys);
    const history = this.#books.versioned.get(key) ?? new VersionHistory();
    this.#books.versioned.set(key, history);
    const known = [...history.versions.keys()];
    const dice = known.length > versionsPerKey ? 1 : random.next();
    if (dice < 0.6) {
      const change = history.begin({ kind: 'put', value: makeValue(random) }) as Extract<OpenChange, { kind: 'put' }>;
      const versionId = await this.#client.put(versionedBucket, key, change.value);
      history.acknowledge(change, versionId!);
    } else if (dice < 0.7) {
      const change = history.begin({ kind: 'marker' });
      history.acknowledge(change, (await this.#client.remove(versionedBucket, key))!);
    } else if (known.length > 0) {
      const versionId = random.pick(known);
      const change = history.begin({ kind: 'remove', versionId });
      await this.#client.remove(versionedBucket, key, versionId);
      history.acknowledge(change, versionId);
    }
  }

  /** One more request about an upload that nobody else is at, or a new one. */
  async #workOnUpload(random: Random): Promise<void> {
    const { uploads } = this.#books;
    const idle = uploads.filter((upload) => !this.#busyUploads.has(upload) && upload.open === undefined);
    if (idle.length < 4) {
      const key = random.pick(assembledKeys);
      uploads.push({ key, uploadId: await this.#client.createUpload(key), parts: new Map() });
      return;
    }
    const upload = random.pick(idle);
    this.#busyUploads.add(upload);
    await this.#advanceUpload(random, upload);
    this.#busyUploads.delete(upload);
  }

  async #advanceUpload(random: Random, upload: KnownUpload): Promise<void> {
    const { plain, uploads } = this.#books;
    const dice = random.next();
    if (dice < 0.1) {
      upload.open = { kind: 'abort' };
      await this.#client.abort(upload);
      uploads.splice(uploads.indexOf(upload), 1);
    } else if (dice < 0.6 || upload.parts.size === 0) {
      const isCopied = random.next() < 0.1;
      const partNumber = isCopied ? 1 : 2;
      const value = isCopied ? toValue(patternBytes(sourceBytes, 'source')) : makeValue(random);
      upload.open = { kind: 'part', partNumber, value };
      if (isCopied) await this.#client.copyPart(upload, partNumber, sourceKey, value);
      else await this.#client.putPart(upload, partNumber, value);
      upload.parts.set(partNumber, value);
      delete upload.open;
    } else {
      const partNumbers = [...upload.parts.keys()].sort();
      const value = joinParts(upload, partNumbers);
      const write = plain.beginWrite(upload.key, { value });
      upload.open = { kind: 'complete', partNumbers, write };
      await this.#client.complete(upload, partNumbers, value);
      plain.acknowledge(write);
      uploads.splice(uploads.indexOf(upload), 1);
    }
  }
}

/** Mostly small; now and then several shards, or several rows. */
function makeValue(random: Random): Value {
  const dice = random.next();
  const sizeBytes =
    dice < 0.05
      ? 0
      : dice < 0.7
        ? random.between(1, 8 * KiB)
        : dice < 0.97
          ? random.between(8 * KiB, 150 * KiB)
          : random.between(MiB, 2.5 * MiB);
  return toValue(patternBytes(sizeBytes, random.next()));
}

/** Fails unless what was found is one of these, byte for byte. */
export function requirePossible(
  key: string,
  found: Value | undefined,
  possible: readonly (Value | undefined)[],
): Value | undefined {
  const match = possible.find((value) => value?.etag === found?.etag);
  if (found === undefined || match === undefined) {
    const names = possible.map((value) => value?.etag ?? 'nothing').join(', ');
    assert.ok(
      possible.some((value) => value?.etag === found?.etag),
      `${key} is ${found?.etag ?? 'nothing'}, but could be ${names}`,
    );
    return undefined;
  }
  assert.ok(found.bytes.equals(match.bytes), `${key} has the ETag of a write, but other bytes`);
  return match;
}
