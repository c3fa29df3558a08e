import { systemClock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { createBucket, newStripe, placeShard, putRequest } from './metadata-fixtures.ts';

// Puts objects into the store at the path that is given, several at a time, and prints each key once it is acknowledged. Meanwhile
// other stripes come and go, and lose shards and have them repaired.
const store = await openSqliteStore({ path: process.argv[2]!, clock: systemClock, log: silentLog });
await createBucket(store);
let former = newStripe();
await store.putVersion(putRequest('former', { stripes: [former] }));
for (let round = 0; ; round++) {
  const keys = Array.from({ length: 8 }, (_, index) => `${round}/${index}`);
  const stripe = newStripe({ placed: 6 - (round % 3) });
  const busy: Promise<unknown>[] = [
    store.loseShard(former.id, former.shards[0]!),
    store.recordShard(former.id, placeShard(former.id, 1, `q${round % 5}`)),
    store.putVersion(putRequest('former', { stripes: [stripe] })),
  ];
  if (round % 4 === 0) busy.push(store.forgetStripe(former.id));
  former = stripe;
  await Promise.all([
    ...busy,
    ...keys.map(async (key) => {
      await store.putVersion(putRequest(key, { stripes: [newStripe()] }));
      process.stdout.write(`${key}\n`);
    }),
  ]);
}
