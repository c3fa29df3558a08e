import type { Local, WasmFunction } from '../core/wasm/wasm-function.ts';

/**
 * An address that goes from shard to shard in a kernel's round, so that one register and an addition each do for any
 * number of shards at any distance: as fast as distances that are fixed in the code.
 */
export class ShardWalk {
  readonly pointer: Local;
  readonly #body: WasmFunction;
  readonly #base: Local;
  readonly #stride: Local;
  #shard = 0;

  constructor(body: WasmFunction, { base, stride }: { base: Local; stride: Local }) {
    this.#body = body;
    this.#base = base;
    this.#stride = stride;
    this.pointer = body.addLocal('i32');
  }

  /** At the begin of a round: back to shard 0. */
  start(): void {
    this.#body.get(this.#base).set(this.pointer);
    this.#shard = 0;
  }

  goTo(shard: number): void {
    const instruction = this.#shard < shard ? 'i32.add' : 'i32.sub';
    for (let steps = Math.abs(shard - this.#shard); steps > 0; steps--) {
      this.#body.get(this.pointer).get(this.#stride).op(instruction).set(this.pointer);
    }
    this.#shard = shard;
  }
}
