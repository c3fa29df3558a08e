import { encodeSigned, encodeUnsigned } from './leb128.ts';
import { type ValueType, valueTypes, WasmFunction } from './wasm-function.ts';

/** In pages of 64 KiB. A memory that threads share must have a maximum. */
export interface MemoryLimits {
  readonly minPages: number;
  readonly maxPages?: number;
  readonly shared?: boolean;
}

export interface FunctionType {
  readonly params?: readonly ValueType[];
  readonly results?: readonly ValueType[];
}

const sections = { type: 1, import: 2, function: 3, memory: 5, export: 7, code: 10, data: 11 } as const;
const kinds = { function: 0, memory: 2 } as const;

/**
 * A small assembler for WebAssembly modules: functions, one memory, exports and data. It writes the binary format and
 * nothing else; `compileWasm` makes it run. Kernels are emitted with it at run time, for exactly the numbers at hand.
 *
 * https://webassembly.github.io/spec/core/binary/modules.html
 */
export class WasmModule {
  readonly #functions: WasmFunction[] = [];
  readonly #exports: number[][] = [];
  readonly #data: number[][] = [];
  #memory: { readonly limits: MemoryLimits; readonly isImported: boolean } | undefined;

  /**
   * A function to be written; under `name` it can be called from outside.
   *
   * @returns its body, which is encoded when the module is
   */
  addFunction({ params = [], results = [] }: FunctionType, name?: string): WasmFunction {
    const added = new WasmFunction({ index: this.#functions.length, params, results });
    this.#functions.push(added);
    if (name !== undefined) this.#exports.push([...encodeName(name), kinds.function, ...encodeUnsigned(added.index)]);
    return added;
  }

  /** Memory from outside, imported as `env.memory`. Whether it is shared must be the same there. */
  importMemory(limits: MemoryLimits): void {
    this.#setMemory(limits, true);
  }

  /** Memory of its own, exported as `memory`. */
  ownMemory(limits: MemoryLimits): void {
    this.#setMemory(limits, false);
    this.#exports.push([...encodeName('memory'), kinds.memory, 0]);
  }

  /** Bytes that lie in memory at `offset` from the start on. */
  addData(offset: number, bytes: Uint8Array): void {
    this.#data.push([0, 0x41, ...encodeSigned(BigInt(offset | 0)), 0x0b, ...encodeUnsigned(bytes.length), ...bytes]);
  }

  encode(): Uint8Array<ArrayBuffer> {
    const types = this.#functions.map(({ params, results }) => [
      0x60,
      ...encodeVector(params.map(({ type }) => [valueTypes[type]])),
      ...encodeVector(results.map((type) => [valueTypes[type]])),
    ]);
    const limits = this.#memory === undefined ? [] : encodeLimits(this.#memory.limits);
    const isImported = this.#memory?.isImported === true;
    const content: readonly number[][] = [
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      encodeSection(sections.type, types),
      encodeSection(
        sections.import,
        isImported ? [[...encodeName('env'), ...encodeName('memory'), kinds.memory, ...limits]] : [],
      ),
      encodeSection(
        sections.function,
        this.#functions.map(({ index }) => encodeUnsigned(index)),
      ),
      encodeSection(sections.memory, this.#memory !== undefined && !isImported ? [limits] : []),
      encodeSection(sections.export, this.#exports),
      encodeSection(
        sections.code,
        this.#functions.map((body) => body.encode()),
      ),
      encodeSection(sections.data, this.#data),
    ];
    // Joined, and never spread: a cold loop over each byte would take most of the time.
    return new Uint8Array(([] as number[]).concat(...content));
  }

  #setMemory(limits: MemoryLimits, isImported: boolean): void {
    if (this.#memory !== undefined) throw new Error('a module has one memory');
    if (limits.shared === true && limits.maxPages === undefined) throw new RangeError('shared memory needs maxPages');
    this.#memory = { limits, isImported };
  }
}

function encodeSection(id: number, items: readonly (readonly number[])[]): number[] {
  if (items.length === 0) return [];
  const content = encodeVector(items);
  return [id, ...encodeUnsigned(content.length)].concat(content);
}

/** Their number, then one after the other. */
function encodeVector(items: readonly (readonly number[])[]): number[] {
  return encodeUnsigned(items.length).concat(...items);
}

function encodeName(name: string): number[] {
  const bytes = new TextEncoder().encode(name);
  return [...encodeUnsigned(bytes.length), ...bytes];
}

function encodeLimits({ minPages, maxPages, shared = false }: MemoryLimits): number[] {
  if (maxPages === undefined) return [0, ...encodeUnsigned(minPages)];
  return [shared ? 3 : 1, ...encodeUnsigned(minPages), ...encodeUnsigned(maxPages)];
}
