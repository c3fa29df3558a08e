/** TypeScript declares it only together with the whole DOM. */
declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: Record<string, unknown> };
};

/** A page of WebAssembly's memory. */
export const wasmPageBytes = 64 * 1024;

/** `buffer` is an ArrayBuffer that is void once the memory has grown, or a SharedArrayBuffer where it is shared. */
export interface WasmMemory<Buffer extends ArrayBufferLike = ArrayBufferLike> {
  readonly buffer: Buffer;
  /** @returns how many pages there were before. @throws RangeError past its maximum */
  grow(pages: number): number;
}

/** Zeros at first. @throws RangeError where there is not so much address space */
export function createWasmMemory(limits: {
  minPages: number;
  maxPages?: number | undefined;
  shared?: false;
}): WasmMemory<ArrayBuffer>;
export function createWasmMemory(limits: {
  minPages: number;
  maxPages: number;
  shared: true;
}): WasmMemory<SharedArrayBuffer>;
export function createWasmMemory({
  minPages,
  maxPages,
  shared = false,
}: {
  minPages: number;
  maxPages?: number | undefined;
  shared?: boolean;
}): WasmMemory {
  return new WebAssembly.Memory({
    initial: minPages,
    ...(maxPages === undefined ? {} : { maximum: maxPages }),
    ...(shared ? { shared } : {}),
  });
}

/** A checked module, of which many instances can be made; it can be posted to worker threads. */
export type CompiledWasm = object;

/** Compiles at once, in the calling thread: meant for small modules. @throws CompileError for what is no module */
export function compileWasm(bytes: Uint8Array): CompiledWasm {
  return new WebAssembly.Module(bytes);
}

/**
 * @param memory what the module imports as `env.memory`
 * @returns the exports, whose types the caller knows
 */
export function instantiateWasm<Exports>(module: CompiledWasm, memory?: WasmMemory): Exports {
  const { exports } = new WebAssembly.Instance(module, memory === undefined ? {} : { env: { memory } });
  return exports as Exports;
}
