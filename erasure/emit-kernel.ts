import type { Local, WasmFunction } from '../core/wasm/wasm-function.ts';
import { type MemoryLimits, WasmModule } from '../core/wasm/wasm-module.ts';
import type { Matrix } from './galois-field.ts';
import { kernelConstants } from './kernel-memory.ts';
import { planSums, type SumPlan } from './plan-sums.ts';

/** What a kernel computes: each output shard is the sum of `rows[output][input]` times the input shards. */
export interface KernelTask {
  readonly rows: Matrix;
  /** Index of the shard that each column stands for, ascending, and of the one that each row stands for. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/**
 * How doubling finds out which bytes carry. `select` takes the polynomial by the highest bit of each byte in one instruction, which WebAssembly
 * leaves open (x86 does it, ARM does not); `compare` takes two that it does not.
 */
export type CarryMethod = 'select' | 'compare';

/** What kernels code is a multiple of this. */
export const kernelStepBytes = 32;
const vectorBytes = 16;

export interface KernelSetting {
  readonly limits: MemoryLimits;
  readonly carry: CarryMethod;
  /**
   * Whether each round works on two vectors side by side, so that V8 can join them to one of 256 bits. Where it does not, one vector a round is
   * faster by a tenth: the values of two find no room in the registers.
   */
  readonly isPaired: boolean;
}

/**
 * A module that exports `run(base, strideBytes, end)`: shard i lies at base + i * strideBytes, and the columns from base to end, a multiple of
 * `kernelStepBytes`, are coded. It reads nothing else, and writes the output shards only.
 *
 * With S_b the sum of the inputs whose coefficient has bit b, a product is the sum of 2^b * S_b, by Horner's rule: start with S_7, then double
 * and add the next. So neither tables nor shuffles are needed, and bits that several products share are added up once. All outputs come about in one pass over the inputs.
 */
export function emitKernel(task: KernelTask, setting: KernelSetting): Uint8Array {
  const module = new WasmModule();
  module.importMemory(setting.limits);
  const body = module.addFunction({ params: ['i32', 'i32', 'i32'] }, 'run');
  new KernelEmitter(body, task, setting).emit();
  return module.encode();
}

class KernelEmitter {
  readonly #body: WasmFunction;
  readonly #task: KernelTask;
  readonly #plan: SumPlan;
  readonly #carry: CarryMethod;
  readonly #polynomials: Local[];
  readonly #zeros: Local[];
  /** By vector and term: what holds its value, once it is there. */
  readonly #values: Local[][];
  /** Walks from shard to shard, so that one register and one addition do for any number of them. */
  readonly #pointer: Local;
  #pointedShard = 0;

  constructor(body: WasmFunction, task: KernelTask, { carry, isPaired }: KernelSetting) {
    this.#body = body;
    this.#task = task;
    this.#carry = carry;
    this.#plan = planSums(task.rows);
    const perVector = <Item>(make: () => Item): Item[] => Array.from({ length: isPaired ? 2 : 1 }, make);
    this.#polynomials = perVector(() => body.addLocal('v128'));
    this.#zeros = perVector(() => body.addLocal('v128'));
    this.#values = perVector(() => []);
    this.#pointer = body.addLocal('i32');
  }

  emit(): void {
    const [base, , end] = this.#body.params as [Local, Local, Local];
    this.#loadConstants();
    this.#body.loop((again) => {
      this.#body.get(base).set(this.#pointer);
      for (const [column, shard] of this.#task.inputs.entries()) this.#loadInput(column, shard);
      for (const [row, shard] of this.#task.outputs.entries()) this.#storeProduct(row, shard);
      this.#body
        .get(base)
        .i32Const(this.#values.length * vectorBytes)
        .op('i32.add')
        .tee(base);
      this.#body.get(end).op('i32.lt_u').brIf(again);
    });
  }

  /** From memory, since V8 would build a `v128.const` anew in each round; vector by vector side by side, so that it can join them. */
  #loadConstants(): void {
    for (const vector of this.#values.keys()) {
      const offset = vector * vectorBytes;
      this.#body
        .i32Const(0)
        .memory('v128.load', kernelConstants.polynomial + offset)
        .set(this.#polynomials[vector]!);
      this.#body
        .i32Const(0)
        .memory('v128.load', kernelConstants.zero + offset)
        .set(this.#zeros[vector]!);
    }
  }

  #loadInput(column: number, shard: number): void {
    this.#pointTo(shard);
    for (const vector of this.#values.keys()) {
      const value = this.#body.addLocal('v128');
      this.#body
        .get(this.#pointer)
        .memory('v128.load', vector * vectorBytes)
        .set(value);
      this.#values[vector]![column] = value;
    }
  }

  #storeProduct(row: number, shard: number): void {
    const products = this.#values.map((_, vector) => this.#computeProduct(row, vector));
    this.#pointTo(shard);
    for (const [vector, product] of products.entries()) {
      this.#body
        .get(this.#pointer)
        .get(product)
        .memory('v128.store', vector * vectorBytes);
    }
  }

  #computeProduct(row: number, vector: number): Local {
    const product = this.#body.addLocal('v128');
    let isBegun = false;
    for (const terms of this.#plan.sums[row]!.toReversed()) {
      if (isBegun) this.#double(product, vector);
      if (terms.length > 0) this.#pushSum(terms, vector);
      // The sum is added up for itself first: then it need not wait for what was doubled.
      if (isBegun && terms.length > 0) this.#body.op('v128.xor');
      isBegun ||= terms.length > 0;
      if (isBegun) this.#body.set(product);
    }
    if (!isBegun) this.#body.get(this.#zeros[vector]!).set(product);
    return product;
  }

  /** Leaves twice the product on the stack. */
  #double(product: Local, vector: number): void {
    const [polynomial, zero] = [this.#polynomials[vector]!, this.#zeros[vector]!];
    this.#body.get(product).get(product).op('i8x16.add');
    if (this.#carry === 'select') {
      this.#body.get(polynomial).get(zero).get(product).op('i8x16.relaxed_laneselect');
    } else {
      this.#body.get(zero).get(product).op('i8x16.gt_s').get(polynomial).op('v128.and');
    }
    this.#body.op('v128.xor');
  }

  #pushSum(terms: readonly number[], vector: number): void {
    for (const [at, term] of terms.entries()) {
      this.#pushTerm(term, vector);
      if (at > 0) this.#body.op('v128.xor');
    }
  }

  /** Pairs are added up where they are needed first, so that they take up registers no sooner. */
  #pushTerm(term: number, vector: number): void {
    const values = this.#values[vector]!;
    const known = values[term];
    if (known !== undefined) {
      this.#body.get(known);
      return;
    }
    this.#pushSum(this.#plan.pairs[term - this.#task.inputs.length]!, vector);
    const value = this.#body.addLocal('v128');
    values[term] = value;
    this.#body.tee(value);
  }

  #pointTo(shard: number): void {
    const stride = this.#body.params[1]!;
    while (this.#pointedShard !== shard) {
      const isAhead = this.#pointedShard < shard;
      this.#body
        .get(this.#pointer)
        .get(stride)
        .op(isAhead ? 'i32.add' : 'i32.sub')
        .set(this.#pointer);
      this.#pointedShard += isAhead ? 1 : -1;
    }
  }
}
