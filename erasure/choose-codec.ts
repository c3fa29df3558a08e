import type { Profile } from '../core/model.ts';
import { selfTestCodec } from './codec-self-test.ts';
import type { ErasureCodec } from './erasure-codec.ts';
import { createPackageCodec } from './package-codec.ts';
import { createWasmCodec } from './wasm-codec.ts';

/** A codec that was to be used, and why it is not. */
export interface CodecFault {
  readonly codec: string;
  readonly error: unknown;
}

export interface CodecCandidate {
  readonly name: string;
  make(): ErasureCodec | Promise<ErasureCodec>;
}

/** Best first; the last one is what all others must agree with. */
export function listCodecs({ isRevectorizing }: { isRevectorizing: boolean }): CodecCandidate[] {
  return [
    ...(isRevectorizing ? [{ name: 'wasm-simd-256', make: () => createWasmCodec({ isRevectorizing }) }] : []),
    { name: 'wasm-simd', make: () => createWasmCodec() },
    { name: 'wasm-package', make: createPackageCodec },
  ];
}

/**
 * The first codec that works here and gives the right bytes for all profiles, and what was wrong with those before it,
 * which somebody should hear of: the next one is many times slower.
 *
 * @throws what the last one threw when none does
 */
export async function chooseCodec(
  profiles: readonly Pick<Profile, 'k' | 'm'>[],
  candidates: readonly CodecCandidate[],
): Promise<{ codec: ErasureCodec; faults: readonly CodecFault[] }> {
  const faults: CodecFault[] = [];
  for (const { name, make } of candidates) {
    try {
      const codec = await make();
      for (const profile of profiles) selfTestCodec(codec, profile);
      return { codec, faults };
    } catch (error) {
      faults.push({ codec: name, error });
    }
  }
  throw faults.at(-1)?.error ?? new Error('no codec to choose from');
}
