import { systemClock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { openSqliteStore } from '../../metadata/sqlite/sqlite-store.ts';
import { createBucket, newStripe, putRequest } from './metadata-fixtures.ts';

// Puts objects into the store at the path that is given, several at a time, and prints each key once it is acknowledged.
const store = await openSqliteStore({ path: process.argv[2]!, clock: systemClock, log: silentLog });
await createBucket(store);
for (let round = 0; ; round++) {
  const keys = Array.from({ length: 8 }, (_, index) => `${round}/${index}`);
  await Promise.all(
    keys.map(async (key) => {
      await store.putVersion(putRequest(key, { stripes: [newStripe()] }));
      process.stdout.write(`${key}\n`);
    }),
  );
}
