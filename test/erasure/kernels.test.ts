import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileWasm } from '../../core/wasm/compile-wasm.ts';
import { emitKernel, type KernelTask } from '../../erasure/emit-kernel.ts';
import { emitTableKernel } from '../../erasure/emit-table-kernel.ts';
import { createCodingMatrix, invertMatrix, multiplyField, multiplyMatrix } from '../../erasure/galois-field.ts';
import { KernelCompiler } from '../../erasure/kernel-compiler.ts';
import { kernelHeaderBytes } from '../../erasure/kernel-memory.ts';
import { KernelRegion } from '../../erasure/kernel-region.ts';
import { planSums } from '../../erasure/plan-sums.ts';
import { createReferenceCodec } from '../../erasure/reference-codec.ts';

const limits = { minPages: 1 };
const table = compileWasm(emitTableKernel(limits));
const matrix = fc
  .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 4 }))
  .chain(([columns, rows]) =>
    fc.array(fc.uint8Array({ minLength: columns, maxLength: columns }), { minLength: rows, maxLength: rows }),
  );

/** By paper: shift and subtract the polynomial. */
function multiplySlowly(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) product ^= a << bit;
  for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= 0x11d << (bit - 8);
  return product;
}

describe('arithmetic in the field', () => {
  it('multiplies all bytes as on paper', () => {
    for (let a = 0; a < 256; a++) {
      for (let b = 0; b < 256; b++) assert.equal(multiplyField(a, b), multiplySlowly(a, b));
    }
  });

  it('inverts any k rows of the matrix', () => {
    const rows = createCodingMatrix(10, 4);
    fc.assert(
      fc.property(fc.shuffledSubarray([...rows.keys()], { minLength: 10, maxLength: 10 }), (chosen) => {
        const square = chosen.map((index) => rows[index]!);
        const product = multiplyMatrix(square, invertMatrix(square));
        for (const [at, row] of product.entries())
          assert.ok(row.every((value, column) => value === (at === column ? 1 : 0)));
      }),
    );
    assert.throws(() => invertMatrix([Uint8Array.of(1, 2), Uint8Array.of(1, 2)]), RangeError);
  });
});

describe('the plan of sums', () => {
  it('adds up to the matrix, whatever the pairs', () => {
    fc.assert(
      fc.property(matrix, (rows) => {
        const { sums, pairs } = planSums(rows);
        const inputs = rows[0]!.length;
        // What a term stands for: a set of inputs, as bits.
        const sets = Array.from({ length: inputs }, (_, input) => 1 << input);
        for (const [a, b] of pairs) sets.push(sets[a]! ^ sets[b]!);
        for (const [row, coefficients] of rows.entries()) {
          for (let bit = 0; bit < 8; bit++) {
            const expected = coefficients.reduce(
              (set, value, input) => ((value >> bit) & 1 ? set | (1 << input) : set),
              0,
            );
            assert.equal(
              sums[row]![bit]!.reduce((set, term) => set ^ sets[term]!, 0),
              expected,
            );
          }
        }
      }),
    );
  });

  it('saves a third of the additions of 10+4', () => {
    const rows = createCodingMatrix(10, 4).slice(10);
    const plain = rows.flatMap((row) =>
      Array.from({ length: 8 }, (_, bit) => row.filter((value) => (value >> bit) & 1).length - 1),
    );
    const { sums, pairs } = planSums(rows);
    const shared = pairs.length + sums.flat().reduce((sum, terms) => sum + Math.max(0, terms.length - 1), 0);
    assert.ok(shared < (2 / 3) * plain.reduce((sum, count) => sum + Math.max(0, count), 0), `${shared}`);
  });
});

describe('a kernel', () => {
  it('computes what the matrix says, with either way to carry, and by tables', () => {
    const region = new KernelRegion({ shardsBytes: 65_536, isShared: false, table });
    const place = { base: kernelHeaderBytes + 96, strideBytes: 160, bytes: 96 };
    const view = (shard: number): Uint8Array =>
      region.bytes.subarray(place.base + shard * 160, place.base + shard * 160 + 160);
    // Elsewhere `select` gives other bytes, which `KernelCompiler` finds out.
    const carries = [...(process.arch === 'x64' ? (['select'] as const) : []), 'compare', 'tables'] as const;
    fc.assert(
      fc.property(matrix, fc.infiniteStream(fc.nat(255)), fc.nat(), (rows, bytes, seed) => {
        const task = scatterTask(rows, seed);
        for (const carry of carries) {
          for (const shard of [...task.inputs, ...task.outputs])
            view(shard).forEach((_, at, all) => {
              all[at] = bytes.next().value!;
            });
          const before = task.outputs.map((shard) => Uint8Array.from(view(shard)));
          if (carry === 'tables') region.runByTable(task, place);
          else region.run(compileWasm(emitKernel(task, { limits, carry, isPaired: seed % 2 === 0 })), place);
          for (const [row, shard] of task.outputs.entries()) {
            const expected = before[row]!;
            for (let at = 0; at < place.bytes; at++) {
              expected[at] = rows[row]!.reduce(
                (sum, factor, column) => sum ^ multiplySlowly(factor, view(task.inputs[column]!)[at]!),
                0,
              );
            }
            assert.deepEqual(Uint8Array.from(view(shard)), expected, carry);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it('is not let out when it gives other bytes than the tables do', () => {
    const task: KernelTask = { rows: [Uint8Array.of(1, 2, 3)], inputs: [0, 1, 2], outputs: [3] };
    const honest = new KernelRegion({ shardsBytes: 65_536, isShared: false, table });
    assert.ok(new KernelCompiler({ desk: honest, limits, isRevectorizing: false }).compile(task));
    const broken = new KernelRegion({ shardsBytes: 65_536, isShared: false, table });
    // Kernels read the polynomial, tables do not: as if the machine carried otherwise.
    broken.bytes.fill(0x1b, 8192, 8256);
    assert.equal(new KernelCompiler({ desk: broken, limits, isRevectorizing: false }).compile(task), undefined);
    assert.equal(new KernelCompiler({ desk: broken, limits, isRevectorizing: true }).compile(task), undefined);
  });

  it('of an encoder is small', () => {
    const rows = createCodingMatrix(10, 4).slice(10);
    const inputs = Array.from({ length: 10 }, (_, index) => index);
    const task = { rows, inputs, outputs: [10, 11, 12, 13] };
    assert.ok(emitKernel(task, { limits, carry: 'compare', isPaired: true }).length < 5000);
  });

  it('knows the matrix of the reference', () => {
    const data = Array.from({ length: 5 }, (_, index) =>
      Uint8Array.from({ length: 5 }, (_, at) => (at === index ? 1 : 0)),
    );
    const parity = Array.from({ length: 3 }, () => new Uint8Array(5));
    createReferenceCodec().encode(data, parity);
    assert.deepEqual(createCodingMatrix(5, 3), [...data, ...parity]);
  });
});

/** Inputs and outputs at shards that are not side by side, as when some are lost. */
function scatterTask(rows: readonly Uint8Array[], seed: number): KernelTask {
  const inputs: number[] = [];
  const outputs: number[] = [];
  for (let shard = 0; inputs.length < rows[0]!.length || outputs.length < rows.length; shard++) {
    const choice = (seed >> (shard % 20)) & 1;
    if (choice === 0 && inputs.length < rows[0]!.length) inputs.push(shard);
    else if (choice === 1 && outputs.length < rows.length) outputs.push(shard);
    else if (shard > 20) (inputs.length < rows[0]!.length ? inputs : outputs).push(shard);
  }
  return { rows, inputs, outputs };
}
