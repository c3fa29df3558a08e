import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLog } from '../../core/log.ts';
import { NameTable } from '../../metadata/sqlite/name-table.ts';
import { openDatabase } from '../../metadata/sqlite/open-database.ts';
import { PlacementTable } from '../../metadata/sqlite/placement-table.ts';

describe('the table of placements', () => {
  it('says that it does not know what changed where too much has, and after all was undone', async () => {
    const db = openDatabase(':memory:', silentLog);
    const names = new NameTable({ db });
    const table = new PlacementTable({ db, names, maxChanged: 4 });
    const profile = names.numberOf('STANDARD');
    for (const number of [1, 2, 3, 4, 5, 6]) names.numberOf(`p${number}`);
    const change = (holder: number): void => {
      table.mark();
      const shape = { profile, k: 1, m: 0, shard_count: 1 };
      table.add(table.idOf(shape, Buffer.of(holder)), 1, 100);
      table.save();
    };
    const read = (mark: number | undefined) => table.readChanges(mark, () => undefined);
    const begun = (await read(undefined))?.mark;
    for (const holder of [1, 2, 3, 4]) change(holder);
    assert.equal((await read(begun))?.placements.length, 4);
    change(1);
    assert.equal((await read(begun))?.placements.length, 4, 'one that changed twice counts once');
    const later = (await read(undefined))?.mark;
    change(5);
    assert.equal(await read(begun), undefined);
    assert.equal((await read(later))?.placements.length, 1);
    table.reload();
    assert.equal(await read(later), undefined);
    db.close();
  });
});
