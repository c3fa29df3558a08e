import { describe, it } from 'node:test';
import { checkSpace } from './check-space.ts';

/** The long form, for `npm run test:space`. */
describe('space', () => {
  it('comes back after overwrites and deletes, of many small objects and large ones', async (test) => {
    await checkSpace({ smallObjects: 3200, largeObjects: 32 }, (text) => test.diagnostic(text));
  });
});
