import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compileWasm, createWasmMemory, instantiateWasm } from '../../core/wasm/compile-wasm.ts';
import { encodeSigned, encodeUnsigned } from '../../core/wasm/leb128.ts';
import { type PlainInstruction, plainOpcodes } from '../../core/wasm/opcodes.ts';
import type { ValueType, WasmFunction } from '../../core/wasm/wasm-function.ts';
import { WasmModule } from '../../core/wasm/wasm-module.ts';

type I32Function = (...args: number[]) => number;
interface Exports {
  readonly run: I32Function;
  readonly memory: { readonly buffer: ArrayBuffer };
}

/** A module with one page of memory and one exported function. */
function build(
  type: { params?: readonly ValueType[]; results?: readonly ValueType[] },
  write: (body: WasmFunction, module: WasmModule) => void,
): Exports {
  const module = new WasmModule();
  module.ownMemory({ minPages: 1 });
  write(module.addFunction(type, 'run'), module);
  return instantiateWasm<Exports>(compileWasm(module.encode()));
}

describe('numbers in WebAssembly', () => {
  it('come out as the specification has them', () => {
    assert.deepEqual(encodeUnsigned(624_485), [0xe5, 0x8e, 0x26]);
    assert.deepEqual(encodeUnsigned(0xffffffff), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert.deepEqual(encodeSigned(-123_456n), [0xc0, 0xbb, 0x78]);
    assert.deepEqual(encodeSigned(64n), [0xc0, 0x00]);
    assert.throws(() => encodeUnsigned(-1), RangeError);
    assert.throws(() => encodeUnsigned(2 ** 32), RangeError);
    assert.throws(() => encodeSigned(2n ** 63n), RangeError);
  });

  it('reach the function as they were written', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        (a, b) => {
          const small = build({ results: ['i32'] }, (body) => body.i32Const(a));
          assert.equal(small.run(), a);
          const large = build({ results: ['i64'] }, (body) => body.i64Const(b));
          assert.equal(large.run(), b);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('an assembled module', () => {
  it('runs loops, conditions and calls', () => {
    const module = new WasmModule();
    const add = module.addFunction({ params: ['i32', 'i32'], results: ['i32'] });
    add.get(add.params[0]!).get(add.params[1]!).op('i32.add');
    const sum = module.addFunction({ params: ['i32'], results: ['i32'] }, 'run');
    const [count] = sum.params;
    // Locals of several types, so that their groups are seen too.
    sum.addLocal('v128');
    const total = sum.addLocal('i32');
    sum.addLocal('i64');
    sum.block((done) => {
      sum.loop((again) => {
        sum.get(count!).op('i32.eqz').brIf(done);
        sum.get(total).get(count!).call(add).set(total);
        sum.get(count!).i32Const(1).op('i32.sub').set(count!).br(again);
      });
    });
    sum.get(total).i32Const(1000).op('i32.gt_u');
    sum.if(
      () => sum.i32Const(-1),
      () => sum.get(total),
      'i32',
    );
    const { run } = instantiateWasm<Exports>(compileWasm(module.encode()));
    assert.equal(run(0), 0);
    assert.equal(run(10), 55);
    assert.equal(run(100), -1);
  });

  it('takes a branch by number', () => {
    const { run } = build({ params: ['i32'], results: ['i32'] }, (body) => {
      body.block((last) => {
        body.block((second) => {
          body.block((first) => void body.get(body.params[0]!).brTable([first, second], last));
          body.i32Const(10).op('return');
        });
        body.i32Const(20).op('return');
      });
      body.i32Const(30);
    });
    assert.deepEqual(
      [0, 1, 2, 99].map((n) => run(n)),
      [10, 20, 30, 30],
    );
  });

  it('shares a memory with whoever made it, also one of several threads', () => {
    for (const limits of [{ minPages: 1 }, { minPages: 1, maxPages: 2 }, { minPages: 1, maxPages: 2, shared: true }]) {
      const module = new WasmModule();
      module.importMemory(limits);
      module.addData(8, Uint8Array.of(1, 2, 3, 4));
      const body = module.addFunction({ params: ['i32'], results: ['i32'] }, 'run');
      body.get(body.params[0]!).memory('i32.load', 4).i32Const(0).i32Const(7).memory('i32.store8', 3);
      const memory = limits.shared
        ? createWasmMemory({ ...limits, maxPages: 2, shared: true })
        : createWasmMemory({ ...limits, shared: false });
      const { run } = instantiateWasm<Exports>(compileWasm(module.encode()), memory);
      assert.equal(run(4), 0x04030201);
      assert.equal(new Uint8Array(memory.buffer)[3], 7);
    }
    assert.throws(() => new WasmModule().importMemory({ minPages: 1, shared: true }), RangeError);
  });

  it('loads, stores and moves lanes', () => {
    const { run, memory } = build({}, (body) => {
      const [word, all] = [body.addLocal('v128'), body.addLocal('v128')];
      body.i32Const(0).memory('v128.load32_zero', 4).set(word);
      body.i32Const(0).get(word).memoryLane('v128.load32_lane', 2, 12).set(word);
      body.i32Const(0).get(word).memory('v128.store', 32);
      body.i32Const(0).memory('v128.load').set(all);
      body
        .i32Const(0)
        .get(all)
        .get(word)
        .shuffle([0, 16, 1, 17, 15, 24, 3, 3, 3, 3, 3, 3, 3, 3, 3, 31])
        .memory('v128.store', 48);
      body.i32Const(0).get(all).lane('i32x4.extract_lane', 3).op('i32x4.splat').memory('v128.store', 64);
      body
        .i32Const(0)
        .v128Const(Array.from({ length: 16 }, (_, i) => 0xf0 + i))
        .memory('v128.store', 80);
      body.i32Const(96).i32Const(80).i32Const(5).memoryCopy().i32Const(101).i32Const(9).i32Const(2).memoryFill();
    });
    const bytes = new Uint8Array(memory.buffer);
    bytes.set(Array.from({ length: 16 }, (_, i) => i + 1));
    run();
    assert.deepEqual([...bytes.subarray(32, 48)], [5, 6, 7, 8, 0, 0, 0, 0, 13, 14, 15, 16, 0, 0, 0, 0]);
    assert.deepEqual([...bytes.subarray(48, 64)], [1, 5, 2, 6, 16, 13, 4, 4, 4, 4, 4, 4, 4, 4, 4, 0]);
    assert.deepEqual([...bytes.subarray(64, 72)], [13, 14, 15, 16, 13, 14, 15, 16]);
    assert.deepEqual(
      [...bytes.subarray(80, 96)],
      Array.from({ length: 16 }, (_, i) => 0xf0 + i),
    );
    assert.deepEqual([...bytes.subarray(96, 104)], [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 9, 9, 0]);
  });

  it('computes on vectors of 32-bit lanes as arithmetic does', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const cases: [PlainInstruction, (a: number, b: number) => number][] = [
      ['i32x4.add', (a, b) => a + b],
      ['i32x4.sub', (a, b) => a - b],
      ['v128.and', (a, b) => a & b],
      ['v128.andnot', (a, b) => a & ~b],
      ['v128.or', (a, b) => a | b],
      ['v128.xor', (a, b) => a ^ b],
    ];
    const kernels = cases.map(([instruction, expected]) => ({ instruction, expected, ...binaryKernel(instruction) }));
    const shifts = build({ params: ['i32'] }, (body) => {
      body.i32Const(0).i32Const(0).memory('v128.load').get(body.params[0]!).op('i32x4.shl').memory('v128.store', 32);
      body.i32Const(0).i32Const(0).memory('v128.load').get(body.params[0]!).op('i32x4.shr_u').memory('v128.store', 48);
      body.i32Const(0).i32Const(0).memory('v128.load').op('v128.not').memory('v128.store', 64);
    });
    fc.assert(
      fc.property(fc.tuple(u32, u32, u32, u32), fc.tuple(u32, u32, u32, u32), fc.nat(31), (a, b, count) => {
        for (const { instruction, expected, run, memory } of kernels) {
          new Uint32Array(memory.buffer).set([...a, ...b]);
          run();
          const wanted = Uint32Array.from(a, (value, lane) => expected(value, b[lane]!));
          assert.deepEqual(new Uint32Array(memory.buffer, 32, 4), wanted, instruction);
        }
        new Uint32Array(shifts.memory.buffer).set(a);
        shifts.run(count);
        assert.deepEqual(
          new Uint32Array(shifts.memory.buffer, 32, 4),
          Uint32Array.from(a, (value) => value << count),
        );
        assert.deepEqual(
          new Uint32Array(shifts.memory.buffer, 48, 4),
          Uint32Array.from(a, (value) => value >>> count),
        );
        assert.deepEqual(
          new Uint32Array(shifts.memory.buffer, 64, 4),
          Uint32Array.from(a, (value) => ~value),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('takes bits of one vector or the other by a third', () => {
    const { run, memory } = build({}, (body) => {
      body.i32Const(0);
      for (const at of [0, 16, 32]) body.i32Const(at).memory('v128.load');
      body.op('v128.bitselect').memory('v128.store', 48);
    });
    new Uint32Array(memory.buffer).set([0xffff0000, 1, 2, 3, 0x12345678, 5, 6, 7, 0xff00ff00, 0, 0xffffffff, 1]);
    run();
    assert.deepEqual([...new Uint32Array(memory.buffer, 48, 4)], [0xff340078, 5, 2, 7]);
  });

  it('knows instructions that WebAssembly knows, each by its own number', () => {
    const numbers = Object.values(plainOpcodes);
    assert.equal(new Set(numbers).size, numbers.length);
    for (const instruction of Object.keys(plainOpcodes) as PlainInstruction[]) {
      // After `unreachable` the stack holds whatever is asked for, so any instruction that exists is valid there.
      build({}, (body) => body.op('unreachable').op(instruction).op('unreachable'));
    }
  });

  it('refuses lanes, constants and memories that there are not', () => {
    const body = new WasmModule().addFunction({});
    assert.throws(() => body.lane('i32x4.extract_lane', 4), RangeError);
    assert.throws(() => body.memoryLane('v128.load32_lane', 4), RangeError);
    assert.throws(() => body.shuffle([32, ...Array(15).fill(0)]), RangeError);
    assert.throws(() => body.v128Const([1, 2]), RangeError);
    assert.throws(() => body.i32Const(2 ** 32), RangeError);
    const module = new WasmModule();
    module.ownMemory({ minPages: 1 });
    assert.throws(() => module.importMemory({ minPages: 1 }), /one memory/);
  });
});

/** Stores at 32 what the instruction makes of the vectors at 0 and 16. */
function binaryKernel(instruction: PlainInstruction): Exports {
  return build({}, (body) => {
    body.i32Const(0).i32Const(0).memory('v128.load').i32Const(0).memory('v128.load', 16);
    body.op(instruction).memory('v128.store', 32);
  });
}
