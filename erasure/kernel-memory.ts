import { carryByte, multiplyField } from './galois-field.ts';

/**
 * What lies in the first page of every memory that kernels work in:
 *
 * | offset | bytes | what |
 * |---|---|---|
 * | 0 | 8,192 | for each factor 16 products with the numbers below 16, and 16 with their multiples of 16 |
 * | 8,192 | 64 | the polynomial in every byte |
 * | 8,256 | 64 | zeros |
 * | 8,320 | 24,576 | the tail desk: up to 256 shards of 32 bytes, 96 from one to the next |
 * | 65,536 | | shards |
 */
export const kernelConstants = { products: 0, polynomial: 8192, zero: 8256 } as const;
export const productTableBytes = 32;
export const tailDesk = { offset: 8320, strideBytes: 96 } as const;
/** Where shards may begin. */
export const kernelHeaderBytes = 65_536;

/** Writes the constants into a new memory. */
export function fillKernelHeader(memory: Uint8Array): void {
  for (let factor = 0; factor < 256; factor++) {
    const at = kernelConstants.products + factor * productTableBytes;
    for (let nibble = 0; nibble < 16; nibble++) {
      memory[at + nibble] = multiplyField(factor, nibble);
      memory[at + 16 + nibble] = multiplyField(factor, nibble << 4);
    }
  }
  memory.fill(carryByte, kernelConstants.polynomial, kernelConstants.polynomial + 64);
  memory.fill(0, kernelConstants.zero, kernelConstants.zero + 64);
}
