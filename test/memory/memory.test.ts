import { describe, it } from 'node:test';
import { checkMemory } from './memory-scenarios.ts';

const mebibyte = 1024 * 1024;
const skip = process.platform === 'linux' ? false : 'reads /proc';

/** The short form; `npm run test:memory` runs the long one. */
describe('the memory of the gateway process', { skip }, () => {
  it('stays under 300 MiB while 256 MiB go up and come down', async (test) => {
    await checkMemory({ objects: 1, objectBytes: 256 * mebibyte }, (text) => test.diagnostic(text));
  });

  it('stays under 300 MiB while 64 clients at once upload and read 8 MiB each', async (test) => {
    await checkMemory({ objects: 64, objectBytes: 8 * mebibyte }, (text) => test.diagnostic(text));
  });
});
