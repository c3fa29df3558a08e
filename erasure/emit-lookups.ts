import type { Local, WasmFunction } from '../core/wasm/wasm-function.ts';
import type { KernelTask } from './emit-kernel.ts';
import type { Matrix } from './galois-field.ts';
import { kernelConstants, productTableBytes } from './kernel-memory.ts';
import { ShardWalk } from './shard-walk.ts';

const vectorBytes = 16;
const roundVectors = 2;

/** Two lookups and two additions for each factor, and three operations to halve each input's bytes. */
export function countLookupOperations(rows: Matrix): number {
  const inputs = rows[0]!.length;
  return 4 * rows.length * inputs - rows.length + 3 * inputs;
}

/** The product of a factor and a byte is that of its lower half plus that of its upper, each from a table of 16 in a register. */
export function emitLookups(body: WasmFunction, task: KernelTask): void {
  const [base, stride, end] = body.params as [Local, Local, Local];
  const walk = new ShardWalk(body, { base, stride });
  const mask = body.addLocal('v128');
  body.i32Const(0x0f).op('i8x16.splat').set(mask);
  const tables = task.rows.map((row) => Array.from(row, (factor) => loadTables(body, factor)));
  const vectors = Array.from({ length: roundVectors }, (_, vector) => ({
    offset: vector * vectorBytes,
    low: body.addLocal('v128'),
    high: body.addLocal('v128'),
    products: task.rows.map(() => body.addLocal('v128')),
  }));
  body.loop((again) => {
    walk.start();
    for (const [column, shard] of task.inputs.entries()) {
      walk.goTo(shard);
      for (const { offset, low, high } of vectors) {
        body.get(walk.pointer).memory('v128.load', offset).tee(high).get(mask).op('v128.and').set(low);
        // By 16 bits and a mask, since x86 has no shift of bytes.
        body.get(high).i32Const(4).op('i16x8.shr_u').get(mask).op('v128.and').set(high);
      }
      for (const [row, ofRow] of tables.entries()) {
        const [lowTable, highTable] = ofRow[column]!;
        for (const { low, high, products } of vectors) {
          body.get(lowTable).get(low).op('i8x16.relaxed_swizzle');
          if (column > 0) body.get(products[row]!).op('v128.xor');
          body.get(highTable).get(high).op('i8x16.relaxed_swizzle').op('v128.xor').set(products[row]!);
        }
      }
    }
    for (const [row, shard] of task.outputs.entries()) {
      walk.goTo(shard);
      for (const { offset, products } of vectors)
        body.get(walk.pointer).get(products[row]!).memory('v128.store', offset);
    }
    body
      .get(base)
      .i32Const(roundVectors * vectorBytes)
      .op('i32.add')
      .tee(base)
      .get(end)
      .op('i32.lt_u')
      .brIf(again);
  });
}

/** Of the products with lower and with upper halves. */
function loadTables(body: WasmFunction, factor: number): readonly [Local, Local] {
  const tables = [body.addLocal('v128'), body.addLocal('v128')] as const;
  const offset = kernelConstants.products + factor * productTableBytes;
  for (const [half, table] of tables.entries()) {
    body
      .i32Const(0)
      .memory('v128.load', offset + half * vectorBytes)
      .set(table);
  }
  return tables;
}
