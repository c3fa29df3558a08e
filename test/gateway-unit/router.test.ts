import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../gateway/operation.ts';
import { operations } from '../../gateway/operations/operation-table.ts';
import { type Routed, Router, subresources } from '../../gateway/router.ts';

const router = new Router(operations);
const reversed = new Router(operations.toReversed());
const methods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE'] as const;

/** What a request must have to be for this row, and no more. */
function demandsOf(...rows: readonly Operation[]): { query: Map<string, string>; headers: Record<string, string> } {
  const query = new Map<string, string>();
  const headers: Record<string, string> = {};
  for (const row of rows) {
    for (const [name, value] of Object.entries(row.query)) query.set(name, value === true ? '1' : value);
    for (const name of row.headers) headers[name] = 'a/b';
  }
  return { query, headers };
}

function describe(routed: Routed): string {
  return routed.kind === 'operation' ? routed.operation.name : routed.error.code;
}

test('every operation has a name of its own', () => {
  assert.equal(new Set(operations.map((row) => row.name)).size, operations.length);
});

for (const row of operations) {
  test(`a request with what ${row.name} demands is routed to it`, () => {
    const { query, headers } = demandsOf(row);
    assert.equal(describe(router.route(row.method, row.scope, query, headers)), row.name);
  });
}

test('where two operations could both be meant, the order of the table does not decide', () => {
  for (const a of operations) {
    for (const b of operations) {
      if (a.method !== b.method || a.scope !== b.scope) continue;
      const { query, headers } = demandsOf(a, b);
      const either = describe(router.route(a.method, a.scope, query, headers));
      assert.equal(describe(reversed.route(a.method, a.scope, query, headers)), either, `${a.name} and ${b.name}`);
    }
  }
});

test('a subresource is answered by an operation that demands it, or by 501', () => {
  for (const name of subresources) {
    for (const method of methods) {
      for (const scope of ['service', 'bucket', 'object'] as const) {
        for (const headers of [{}, { 'x-amz-copy-source': 'a/b' }]) {
          const routed = router.route(method, scope, new Map([[name, '']]), headers);
          const where = `${method} ${scope}?${name}`;
          if (routed.kind === 'refused') {
            assert.equal(routed.error.code, 'NotImplemented', where);
            assert.equal(routed.error.status, 501);
          } else if (name !== 'partNumber')
            assert.ok(name in routed.operation.query, `${where}: ${routed.operation.name}`);
        }
      }
    }
  }
});

test('a subresource beside another that an operation demands is 501, not overlooked', () => {
  for (const row of operations) {
    for (const name of subresources) {
      if (name in row.query || (name === 'partNumber' && ['GetObject', 'HeadObject'].includes(row.name))) continue;
      const { query, headers } = demandsOf(row);
      const routed = router.route(row.method, row.scope, query.set(name, ''), headers);
      if (routed.kind === 'operation') assert.ok(name in routed.operation.query, `${row.name} with ${name}`);
      else assert.equal(routed.error.code, 'NotImplemented', `${row.name} with ${name}`);
    }
  }
});

test('parameters that are no subresources change nothing', () => {
  const query = new Map([
    ['x-id', 'GetObject'],
    ['foo', 'bar'],
    ['Versioning', ''],
    ['versionId', 'v'],
  ]);
  assert.equal(describe(router.route('GET', 'object', query, {})), 'GetObject');
});

test('only list-type=2 is the second listing', () => {
  const routed = (type: string) => describe(router.route('GET', 'bucket', new Map([['list-type', type]]), {}));
  assert.deepEqual(['2', '1', '', 'x'].map(routed), ['ListObjectsV2', 'ListObjects', 'ListObjects', 'ListObjects']);
});

test('a copy source turns PutObject into CopyObject and UploadPart into UploadPartCopy', () => {
  const part = new Map([
    ['partNumber', '1'],
    ['uploadId', 'u'],
  ]);
  const headers = { 'x-amz-copy-source': 'a/b' };
  assert.equal(describe(router.route('PUT', 'object', new Map(), headers)), 'CopyObject');
  assert.equal(describe(router.route('PUT', 'object', part, headers)), 'UploadPartCopy');
});

test('a method that has no operation is refused as AWS names it', () => {
  const routed = router.route('DELETE', 'service', new Map(), {});
  assert.equal(describe(routed), 'MethodNotAllowed');
  assert.deepEqual(routed.kind === 'refused' && routed.error.extra, { Method: 'DELETE', ResourceType: 'SERVICE' });
  assert.equal(describe(router.route('PATCH', 'object', new Map(), {})), 'MethodNotAllowed');
});
