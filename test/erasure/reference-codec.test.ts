import { createReferenceCodec } from '../../erasure/reference-codec.ts';
import { testErasureCodec } from './codec-conformance.ts';

testErasureCodec('reference', async () => createReferenceCodec());
