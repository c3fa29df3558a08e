import type { Local } from '../core/wasm/wasm-function.ts';
import { type MemoryLimits, WasmModule } from '../core/wasm/wasm-module.ts';
import { kernelStepBytes } from './emit-kernel.ts';
import { kernelConstants, productTableBytes } from './kernel-memory.ts';

const vectorBytes = 16;

/**
 * A module for any matrix: `multiply(input, output, inputEnd, factor)` writes the products of `factor` and the bytes from input to inputEnd, a
 * multiple of `kernelStepBytes`; `multiplyAdd` adds them to what is there. A byte's product is looked up by its two
 * halves (Plank, Greenan, Miller, "Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions", 2013).
 *
 * It is slower than a kernel of its own for each matrix, and there at once: for matrices that are used a few times only.
 */
export function emitTableKernel(limits: MemoryLimits): Uint8Array {
  const module = new WasmModule();
  module.importMemory(limits);
  emitMultiply(module, 'multiply');
  emitMultiply(module, 'multiplyAdd');
  return module.encode();
}

function emitMultiply(module: WasmModule, name: 'multiply' | 'multiplyAdd'): void {
  const body = module.addFunction({ params: ['i32', 'i32', 'i32', 'i32'] }, name);
  const [input, output, end, factor] = body.params as [Local, Local, Local, Local];
  const [low, high, mask, value] = Array.from({ length: 4 }, () => body.addLocal('v128')) as [
    Local,
    Local,
    Local,
    Local,
  ];
  const table = body.addLocal('i32');
  body.get(factor).i32Const(productTableBytes).op('i32.mul').set(table);
  body.get(table).memory('v128.load', kernelConstants.products).set(low);
  body
    .get(table)
    .memory('v128.load', kernelConstants.products + vectorBytes)
    .set(high);
  body.i32Const(0x0f).op('i8x16.splat').set(mask);
  body.loop((again) => {
    for (let offset = 0; offset < kernelStepBytes; offset += vectorBytes) {
      body.get(output);
      body
        .get(low)
        .get(input)
        .memory('v128.load', offset)
        .tee(value)
        .get(mask)
        .op('v128.and')
        .op('i8x16.relaxed_swizzle');
      // By 16 bits and a mask, since x86 has no shift of bytes. All indexes are below 16, where swizzling is not relaxed.
      body.get(high).get(value).i32Const(4).op('i16x8.shr_u').get(mask).op('v128.and').op('i8x16.relaxed_swizzle');
      body.op('v128.xor');
      if (name === 'multiplyAdd') body.get(output).memory('v128.load', offset).op('v128.xor');
      body.memory('v128.store', offset);
    }
    body.get(output).i32Const(kernelStepBytes).op('i32.add').set(output);
    body.get(input).i32Const(kernelStepBytes).op('i32.add').tee(input).get(end).op('i32.lt_u').brIf(again);
  });
}
