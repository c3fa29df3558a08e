import type { Local, WasmFunction } from '../core/wasm/wasm-function.ts';
import type { CarryMethod, KernelSetting, KernelTask } from './emit-kernel.ts';
import { kernelConstants } from './kernel-memory.ts';
import type { SumPlan } from './plan-sums.ts';
import { ShardWalk } from './shard-walk.ts';

const vectorBytes = 16;

/** Additions and doublings for one vector of each output. */
export function countSumOperations({ sums, pairs }: SumPlan, carry: CarryMethod): number {
  let operations = pairs.length;
  for (const ofRow of sums) {
    const terms = ofRow.reduce((sum, { length }) => sum + length, 0);
    const doublings = Math.max(
      0,
      ofRow.findLastIndex(({ length }) => length > 0),
    );
    operations += Math.max(0, terms - 1) + doublings * (carry === 'select' ? 3 : 4);
  }
  return operations;
}

/**
 * With S_b the sum of the inputs whose coefficient has bit b, a product is the sum of 2^b * S_b, by Horner's rule: start with S_7, then double
 * and add the next. So neither tables nor shuffles are needed, and what several sums share is added up once.
 */
export function emitSums(body: WasmFunction, task: KernelTask, plan: SumPlan, setting: KernelSetting): void {
  new SumEmitter(body, task, plan, setting).emit();
}

class SumEmitter {
  readonly #body: WasmFunction;
  readonly #task: KernelTask;
  readonly #plan: SumPlan;
  readonly #carry: CarryMethod;
  readonly #polynomials: Local[];
  readonly #zeros: Local[];
  /** By vector and term: what holds its value, once it is there. */
  readonly #values: Local[][];
  readonly #walk: ShardWalk;

  constructor(body: WasmFunction, task: KernelTask, plan: SumPlan, { carry, isPaired }: KernelSetting) {
    this.#body = body;
    this.#task = task;
    this.#carry = carry;
    this.#plan = plan;
    const perVector = <Item>(make: () => Item): Item[] => Array.from({ length: isPaired ? 2 : 1 }, make);
    this.#polynomials = perVector(() => body.addLocal('v128'));
    this.#zeros = perVector(() => body.addLocal('v128'));
    this.#values = perVector(() => []);
    const [base, stride] = body.params as [Local, Local];
    this.#walk = new ShardWalk(body, { base, stride });
  }

  emit(): void {
    const [base, , end] = this.#body.params as [Local, Local, Local];
    this.#loadConstants();
    this.#body.loop((again) => {
      this.#walk.start();
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
    this.#walk.goTo(shard);
    for (const vector of this.#values.keys()) {
      const value = this.#body.addLocal('v128');
      this.#body
        .get(this.#walk.pointer)
        .memory('v128.load', vector * vectorBytes)
        .set(value);
      this.#values[vector]![column] = value;
    }
  }

  #storeProduct(row: number, shard: number): void {
    const products = this.#values.map((_, vector) => this.#computeProduct(row, vector));
    this.#walk.goTo(shard);
    for (const [vector, product] of products.entries()) {
      this.#body
        .get(this.#walk.pointer)
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
}
