import type { CompiledWasm } from '../core/wasm/compile-wasm.ts';
import type { KernelTask } from './emit-kernel.ts';
import { createCodingMatrix, invertMatrix, type Matrix, multiplyMatrix } from './galois-field.ts';

/** A task that comes again: to encode k+m, or to rebuild some shards from some others. */
export interface Coding {
  readonly task: KernelTask;
  /** How many bytes of each shard were coded by tables so far; what is expected to come again starts high. */
  codedBytes: number;
  /** `undefined` until it pays to compile one, `none` where there can be none. */
  kernel: CompiledWasm | 'none' | undefined;
}

/** Lost shards come in few patterns at a time, and a coding with its kernel takes some 50 KB. */
const maxCodings = 128;

/** Codings by what they do, the latest used ones. */
export class CodingCache {
  readonly #codings = new Map<string, Coding>();
  readonly #matrices = new Map<number, Matrix>();
  /** What was rebuilt last is as a rule what is rebuilt next, and to compare is cheaper than to make a key. */
  #lastRebuilt: { readonly k: number; readonly count: number; readonly coding: Coding } | undefined;

  /** Data shards in, parity out. */
  forEncode(k: number, m: number): Coding {
    return this.#find(`${k}+${m}`, () => ({
      task: {
        rows: this.#matrix(k, m).slice(k),
        inputs: Array.from({ length: k }, (_, index) => index),
        outputs: Array.from({ length: m }, (_, row) => k + row),
      },
      codedBytes: Number.POSITIVE_INFINITY,
      kernel: undefined,
    }));
  }

  /**
   * The first k of the shards at hand in, the wanted ones out.
   *
   * @param wanted at least one
   */
  forReconstruct(shards: readonly (Uint8Array | undefined)[], k: number, wanted: readonly number[]): Coding {
    const count = shards.length;
    const inputs: number[] = [];
    for (let index = 0; inputs.length < k; index++) if (shards[index] !== undefined) inputs.push(index);
    const last = this.#lastRebuilt;
    if (last?.k === k && last.count === count) {
      const { task } = last.coding;
      if (isSame(task.inputs, inputs) && isSame(task.outputs, wanted)) return last.coding;
    }
    const outputs = wanted.toSorted((a, b) => a - b);
    const coding = this.#find(`${k}+${count - k} ${inputs} ${outputs}`, () => {
      const matrix = this.#matrix(k, count - k);
      // The rows of the shards at hand map the data to them; the inverse maps them to the data.
      const decoding = invertMatrix(inputs.map((index) => matrix[index]!));
      const wantedRows = outputs.map((index) => matrix[index]!);
      return {
        task: { rows: multiplyMatrix(wantedRows, decoding), inputs, outputs },
        codedBytes: 0,
        kernel: undefined,
      };
    });
    this.#lastRebuilt = { k, count, coding };
    return coding;
  }

  #find(key: string, make: () => Coding): Coding {
    const known = this.#codings.get(key);
    const coding = known ?? make();
    // What was used last stands last.
    if (known !== undefined) this.#codings.delete(key);
    this.#codings.set(key, coding);
    if (this.#codings.size > maxCodings) this.#codings.delete(this.#codings.keys().next().value!);
    return coding;
  }

  #matrix(k: number, m: number): Matrix {
    const key = k * 1000 + m;
    let matrix = this.#matrices.get(key);
    if (matrix === undefined) {
      matrix = createCodingMatrix(k, m);
      this.#matrices.set(key, matrix);
    }
    return matrix;
  }
}

function isSame(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((value, at) => value === right[at]);
}
