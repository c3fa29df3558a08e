import { describe, it } from 'node:test';
import { checkHistories } from './check-histories.ts';

const count = 500;

describe('the engine', () => {
  it('comes to what S3 comes to, whatever clients do and whatever befalls it', async (test) => {
    const seed = Date.now() & 0x7fffffff;
    test.diagnostic(`${count} histories, seed ${seed}`);
    await checkHistories({ count, seed });
  });
});
