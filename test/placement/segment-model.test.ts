import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isFailure } from '../../core/failure.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { listAll, nameOf, storeShard } from './provider-conformance.ts';
import { removeIndex, SegmentFolder } from './segment-harness.ts';

/** Shards are known by a number; the same number is always the same shard. */
const shardCount = 24;
const shards = Array.from({ length: shardCount }, (_, i) => patternBytes((i * 397) % 3000, `model ${i}`));
const shardNumber = fc.nat({ max: shardCount - 1 });
const some = fc.array(shardNumber, { minLength: 1, maxLength: 12 });

const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant('put' as const), numbers: some }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('write' as const), numbers: some }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('delete' as const), numbers: some }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('reclaim' as const), pieces: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('list' as const), limit: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('restart' as const), losesIndex: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ act: fc.constant('crash' as const), index: fc.constantFrom('kept', 'lost', 'older') }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('both' as const), numbers: some, others: some }) },
);
type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

class Run {
  readonly #folder: SegmentFolder;
  readonly #options = { segmentBytes: 9000 };
  readonly #present = new Set<number>();
  #path: string;
  #provider!: Provider;
  #olderIndex: string | undefined;
  #count = 0;

  constructor(folder: SegmentFolder) {
    this.#folder = folder;
    this.#path = folder.path;
  }

  async start(): Promise<void> {
    this.#provider = await this.#folder.open(this.#options, this.#path);
  }

  async do(step: Act): Promise<void> {
    switch (step.act) {
      case 'put':
        await Promise.all(step.numbers.map((number) => this.#put(number)));
        return;
      case 'write':
        for (const number of step.numbers) {
          await storeShard(this.#provider, shards[number]!);
          this.#present.add(number);
        }
        return;
      case 'delete':
        await Promise.all(step.numbers.map((number) => this.#delete(number)));
        return;
      case 'both': {
        const others = step.others.filter((number) => !step.numbers.includes(number));
        const reclaim = this.#provider.reclaim();
        await Promise.all([
          ...step.numbers.map((number) => this.#put(number)),
          ...others.map((number) => this.#delete(number)),
        ]);
        await reclaim;
        return;
      }
      case 'reclaim':
        for (let piece = 0; piece < step.pieces; piece++) if (!(await this.#provider.reclaim())) return;
        return;
      case 'list':
        await this.#checkListing(step.limit);
        return;
      case 'restart':
        await this.#provider.close();
        await this.#keepIndex();
        if (step.losesIndex) await removeIndex(this.#path);
        await this.start();
        return;
      case 'crash':
        await this.#crash(step.index);
    }
  }

  async check(): Promise<void> {
    await this.#checkListing(1000);
    for (const [number, bytes] of shards.entries()) {
      const reading = this.#provider.readShard(nameOf(bytes), 0, bytes.length);
      if (this.#present.has(number)) assert.ok(bytes.equals(await reading), `shard ${number}`);
      else await assert.rejects(reading, (error) => isFailure(error, 'shard-missing'), `shard ${number}`);
    }
  }

  async #put(number: number): Promise<void> {
    const bytes = shards[number]!;
    await this.#provider.putShard(nameOf(bytes), [bytes.subarray(0, 7), bytes.subarray(7)]);
    this.#present.add(number);
  }

  async #delete(number: number): Promise<void> {
    await this.#provider.deleteShard(nameOf(shards[number]!));
    this.#present.delete(number);
  }

  async #checkListing(limit: number): Promise<void> {
    const listed = (await listAll(this.#provider, limit)).map(({ cid, bytes }) => `${cid} ${bytes}`);
    const expected = [...this.#present].map((number) => `${nameOf(shards[number]!)} ${shards[number]!.length}`);
    assert.deepEqual(listed.toSorted(), expected.toSorted());
  }

  /** What the process leaves when it dies: everything that was written, and no tidying up. */
  async #crash(index: 'kept' | 'lost' | 'older' | string): Promise<void> {
    const path = join(this.#folder.root, `crash-${this.#count++}`);
    await cp(this.#path, path, { recursive: true });
    await this.#provider.close();
    await rm(this.#path, { recursive: true });
    this.#path = path;
    if (index === 'lost') await removeIndex(path);
    if (index === 'older' && this.#olderIndex !== undefined) {
      await removeIndex(path);
      await cp(this.#olderIndex, join(path, 'index.sqlite'));
    }
    await this.start();
  }

  async #keepIndex(): Promise<void> {
    this.#olderIndex = join(this.#folder.root, 'older.sqlite');
    await cp(join(this.#path, 'index.sqlite'), this.#olderIndex);
  }
}

describe('directory provider against a model', () => {
  it('holds what was put and not deleted, through restarts, crashes, lost and older indexes and reclaim', async () => {
    const numRuns = Number(process.env.HISTORIES ?? 60);
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 40 }), async (acts) => {
        const folder = await SegmentFolder.create();
        try {
          const run = new Run(folder);
          await run.start();
          for (const step of acts) await run.do(step);
          await run.check();
        } finally {
          await folder.dispose();
        }
      }),
      { numRuns },
    );
  });
});
