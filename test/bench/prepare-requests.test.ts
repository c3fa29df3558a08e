import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BenchCase, benchCases } from '../../bench/bench-case.ts';
import { renderCannedPage } from '../../bench/canned-page.ts';
import { findPace } from '../../bench/pace.ts';
import { prepareRequests } from '../../bench/prepare-requests.ts';

const access = {
  url: new URL('http://127.0.0.1:9000'),
  accessKeyId: 'KEY',
  secretAccessKey: 'secret',
  region: 'us-east-1',
};

/** Not signed before they are asked for: a signature takes longer than all the rest. */
function prepare(name: string) {
  const benchCase = benchCases.find((one) => one.name === name)!;
  return prepareRequests(benchCase, {
    access,
    bucket: 'bench',
    pace: findPace({ isQuick: true, isSigningLive: true }),
  });
}

function count(names: readonly string[], pattern: RegExp): number {
  return names.filter((name) => pattern.test(name)).length;
}

describe('the requests of a case', () => {
  it('are mixed as documented, in every stretch of twenty', () => {
    const names = prepare('mixed-4KiB-32').load.map(({ name }) => name);
    for (const from of [0, 20, 640]) {
      const twenty = names.slice(from, from + 20);
      assert.equal(count(twenty, /^GET .*\/\d+$/), 14);
      assert.equal(count(twenty, /^PUT /), 4);
      assert.equal(count(twenty, /^GET \/bench$/), 1);
      assert.equal(count(twenty, /^DELETE /), 1);
    }
  });

  it('delete what was put before, each once', () => {
    const names = prepare('mixed-4KiB-32').load.map(({ name }) => name);
    const deleted = names.filter((name) => name.startsWith('DELETE')).slice(20);
    assert.equal(new Set(deleted).size, deleted.length);
    const places = new Map(names.map((name, at) => [name, at]));
    for (const name of deleted) {
      const put = places.get(name.replace('DELETE', 'PUT'));
      assert.ok(put !== undefined && put < places.get(name)!, name);
    }
  });

  it('read only what was written', () => {
    for (const name of ['get-4KiB-1', 'get-64MiB-1', 'range-1MiB-1', 'mixed-1MiB-8']) {
      const { fill, load } = prepare(name);
      const there = new Set(fill.map((request) => request.name.replace('PUT', 'GET')));
      const read = load.map((request) => request.name).filter((one) => /^GET .*\/\d+$/.test(one));
      assert.ok(read.length > 0 && read.every((one) => there.has(one)), name);
    }
  });

  it('ask for ranges that lie within the object', () => {
    for (const { head, isRight } of prepare('range-64MiB-8').load) {
      const text = String((head as () => Buffer)());
      const [, first, last] = /\r\nrange: bytes=(\d+)-(\d+)\r\n/.exec(text)!.map(Number);
      assert.ok(first! >= 0 && last! < 64 * 2 ** 20);
      assert.equal(last! - first! + 1, 2 ** 20);
      const answer = { status: 206, bodyBytes: 2 ** 20, errorText: '', isLast: false };
      assert.ok(isRight(answer));
      assert.ok(!isRight({ ...answer, status: 200 }) && !isRight({ ...answer, bodyBytes: 1 }));
    }
  });

  it('take a canned page for a listing, and no shorter one', () => {
    const { isRight } = prepare('list-1000-8').load[0]!;
    const answer = { status: 200, errorText: '', isLast: false };
    assert.ok(isRight({ ...answer, bodyBytes: renderCannedPage(1000).length }));
    assert.ok(!isRight({ ...answer, bodyBytes: renderCannedPage(100).length }));
  });
});

describe('the table of cases', () => {
  it('has every name once', () => {
    assert.equal(new Set(benchCases.map(({ name }) => name)).size, benchCases.length);
  });

  it('has every operation, size and number of clients that matter, with and without dead providers', () => {
    const has = (part: Partial<BenchCase>): boolean =>
      benchCases.some((one) => Object.entries(part).every(([key, value]) => one[key as keyof BenchCase] === value));
    for (const operation of ['put', 'get'] as const) {
      for (const sizeName of ['4KiB', '64KiB', '1MiB', '64MiB'] as const) {
        for (const clients of sizeName === '64MiB' ? [1, 8] : [1, 8, 32, 128])
          assert.ok(has({ operation, sizeName, clients }), `${operation} ${sizeName} ${clients}`);
      }
      assert.ok(has({ operation, sizeName: '64MiB', isWithDead: true }));
    }
    for (const operation of ['range', 'list', 'mixed'] as const) assert.ok(has({ operation, isInQuick: true }));
  });
});
