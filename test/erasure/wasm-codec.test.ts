import { createWasmCodec } from '../../erasure/wasm-codec.ts';
import { testErasureCodec } from './codec-conformance.ts';

testErasureCodec('wasm-simd', async () => createWasmCodec());
testErasureCodec('wasm-simd in shared memory', async () => createWasmCodec({ isShared: true }));
testErasureCodec('wasm-simd, revectorized', async () => createWasmCodec({ isRevectorizing: true }));
