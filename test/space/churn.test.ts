import { describe, it } from 'node:test';
import { checkSpace } from './check-space.ts';

/** The short form; `npm run test:space` runs the long one. */
describe('space', () => {
  it('comes back after overwrites and deletes, of small objects and large ones', async (test) => {
    await checkSpace({ smallObjects: 600, largeObjects: 6 }, (text) => test.diagnostic(text));
  });
});
