import { describe, it } from 'node:test';
import { checkMemory } from './memory-scenarios.ts';

const mebibyte = 1024 * 1024;
const skip = process.platform === 'linux' ? false : 'reads /proc';

/** The long form, for `npm run test:memory`: it writes some 9 GiB to disk, which takes minutes. */
describe('the memory of the gateway process', { skip }, () => {
  it('stays under 300 MiB while 1 GiB goes up and comes down', async (test) => {
    await checkMemory({ objects: 1, objectBytes: 1024 * mebibyte }, (text) => test.diagnostic(text));
  });

  it('stays under 300 MiB while 64 clients at once upload and read 64 MiB each', async (test) => {
    await checkMemory({ objects: 64, objectBytes: 64 * mebibyte }, (text) => test.diagnostic(text));
  });
});
