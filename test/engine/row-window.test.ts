import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlacedShard, ProviderId, ShardCid, Stripe, StripeId } from '../../core/model.ts';
import { RowWindow } from '../../engine/upkeep/recode/row-window.ts';
import { padBlock } from '../../erasure/check-row.ts';
import { storedBlockBytes } from '../../erasure/geometry.ts';
import { patternBytes } from '../harness/pattern-bytes.ts';
import { never } from './engine-harness.ts';
import { codec } from './miscode.ts';

const blockBytes = 4096;
const shards = Array.from({ length: 5 }, (_, index): PlacedShard => {
  return { index, providerId: `p${index}` as ProviderId, cid: `cid ${index}` as ShardCid };
});
/** Two rows; in the second one, shard 1 stores 100 bytes and shard 2 none. */
const stripe: Stripe = {
  id: '0'.repeat(32) as StripeId,
  profileName: 'STANDARD',
  k: 3,
  m: 2,
  blockBytes,
  dataBytes: 4 * blockBytes + 100,
  manifestBytes: 0,
  shards,
};

function encodeRow(row: number): Uint8Array[] {
  const codedBytes = storedBlockBytes(stripe, 0, row);
  const data = [0, 1, 2].map((index) => {
    return padBlock(patternBytes(storedBlockBytes(stripe, index, row), `${row} ${index}`), codedBytes);
  });
  const parity = [new Uint8Array(codedBytes), new Uint8Array(codedBytes)];
  codec.encode(data, parity);
  return [...data, ...parity];
}

async function openWindow(rows: readonly Uint8Array[][]): Promise<RowWindow> {
  const readBlock = async (_: Stripe, { index }: PlacedShard, row: number): Promise<Uint8Array> =>
    rows[row]![index]!.slice(0, storedBlockBytes(stripe, index, row));
  const parts = { codec, blocks: { readBlock } } as unknown as ConstructorParameters<typeof RowWindow>[0];
  const window = new RowWindow(parts, stripe);
  for (const row of rows.keys()) await window.load(row, never);
  return window;
}

describe('rows in memory', () => {
  it('are rebuilt from the shards that are not doubted', async () => {
    const rows = [encodeRow(0), encodeRow(1)];
    const right = rows.map((row) => row.map((block) => Uint8Array.from(block)));
    rows[0]![0]!.fill(1);
    rows[0]![4]!.fill(2);
    const window = await openWindow(rows);
    const rebuilt = window.rebuild(0, [0, 4]);
    assert.deepEqual([...rebuilt!.keys()], [0]);
    assert.ok(Buffer.from(right[0]![0]!).equals(rebuilt!.get(0)!));
    assert.equal(window.rebuild(0, [0]), undefined, 'the others do not go together');
  });

  it('are not rebuilt with bytes where nothing is stored', async () => {
    const rows = [encodeRow(0), encodeRow(1)];
    const window = await openWindow(rows);
    assert.equal(window.rebuild(1, [1, 4])?.size, 1);
    // Where shard 1 stores nothing any more.
    rows[1]![3]![200]! ^= 1;
    assert.equal((await openWindow(rows)).rebuild(1, [1, 4]), undefined);
  });

  it('know what stores nothing: it cannot be wrong', async () => {
    const rows = [encodeRow(0), encodeRow(1)];
    rows[1]![0]!.fill(1);
    const rebuilt = (await openWindow(rows)).rebuild(1, [0, 2]);
    assert.deepEqual([...rebuilt!.keys()], [0]);
    assert.ok(Buffer.from(encodeRow(1)[0]!).equals(rebuilt!.get(0)!));
  });

  it('give the bytes of what is sealed, over blocks and rows, with what lies elsewhere', async () => {
    const rows = [encodeRow(0), encodeRow(1)];
    const window = await openWindow(rows);
    const data = Buffer.concat(
      rows.flatMap((row, at) =>
        row.slice(0, 3).map((block, index) => block.slice(0, storedBlockBytes(stripe, index, at))),
      ),
    );
    const head = { at: 0, bytes: patternBytes(10, 'head') };
    const place = { offset: 2 * blockBytes + 5, length: 2 * blockBytes + 30, at: 10 };
    const piece = { length: 10 + place.length, places: [place], others: [head], rows: [0, 1], opens: () => true };
    const stored = data.subarray(place.offset, place.offset + place.length);
    assert.ok(Buffer.concat([head.bytes, stored]).equals(window.assemble(piece)));
    const rebuilt = new Map([[1, new Map([[0, new Uint8Array(blockBytes).fill(6)]])]]);
    const changed = Buffer.from(stored).fill(6, blockBytes - 5, 2 * blockBytes - 5);
    assert.ok(Buffer.concat([head.bytes, changed]).equals(window.assemble(piece, rebuilt)));
  });
});
