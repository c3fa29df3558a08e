import { describe, it } from 'node:test';
import { checkHistories } from './check-histories.ts';

describe('the engine', () => {
  it('comes to what S3 comes to, whatever clients do and whatever befalls it', async () => {
    await checkHistories({ count: 400 });
  });
});
