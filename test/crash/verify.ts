import assert from 'node:assert/strict';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import { type Client, plainBucket, versionedBucket } from './client.ts';
import { type Books, requirePossible } from './load.ts';
import { joinParts, settleUpload } from './upload-ledger.ts';
import type { VersionHistory } from './version-ledger.ts';

const connections = 8;

/** Objects larger than this are only read again with everything else, as long as nobody wrote to them. */
const smallBytes = 200 * 1024;
/** Of what nobody has written since it was last found right, one in so many is read again each time. */
const turns = 4;

/** What of a server is compared: everything, or what may have changed and, in turn, a part of the rest. */
export type Scope = { readonly kind: 'all' } | { readonly kind: 'changed'; readonly turn: number };

/**
 * Compares a server that has just come back with what clients were told by the one that died. From then on what was found
 * is what there is. It may itself die meanwhile: then this can be begun anew with the next one. Every listing is compared
 * whole; `scope` is about what is read.
 */
export async function verifyAfterCrash(client: Client, books: Books, scope: Scope): Promise<void> {
  books.plain.resolveCopies();
  await verifyUploads(client, books);
  await verifyObjects(client, books, scope);
  await verifyVersions(client, books, scope);
}

/** Whether it is the turn of something that nobody changed. */
function isDue(index: number, scope: Scope): boolean {
  return scope.kind === 'all' || index % turns === scope.turn % turns;
}

async function verifyObjects(client: Client, { plain }: Books, scope: Scope): Promise<void> {
  const listed = await client.list();
  for (const key of listed.keys()) assert.ok(plain.keys().includes(key), `nobody wrote ${key}`);
  await forEachBounded([...plain.keys().entries()], connections, async ([index, key]) => {
    const settled = plain.settledValue(key);
    const isSmall = settled === undefined || settled.bytes.length <= smallBytes;
    const isSpared = settled !== undefined && !(isDue(index, scope) && (isSmall || scope.kind === 'all'));
    const found = isSpared ? settled : await client.get(plainBucket, key);
    const value = requirePossible(key, found, plain.possibleValues(key, plain.now()));
    const facts = value && { etag: value.etag, sizeBytes: value.bytes.length };
    assert.deepEqual(listed.get(key), facts, `${key} in the listing`);
    // A listing and a HEAD come from different indexes; that they agree need not be seen for every key each time.
    if (isDue(index, scope)) assert.deepEqual(await client.head(plainBucket, key), facts, `HEAD of ${key}`);
    plain.settle(key, value);
  });
}

async function verifyVersions(client: Client, { versioned }: Books, scope: Scope): Promise<void> {
  const listed = await client.listVersions();
  for (const key of listed.keys()) assert.ok(versioned.has(key), `nobody wrote ${key}`);
  await forEachBounded(versioned, connections, async ([key, history]) => {
    const versions = listed.get(key) ?? new Map();
    history.settle(versions);
    for (const [index, [versionId, value]] of [...history.versions].entries()) {
      const isSpared = history.found.has(versionId) && !isDue(index, scope);
      if (value === undefined || isSpared) continue;
      requirePossible(`${key} ${versionId}`, await client.get(versionedBucket, key, versionId), [value]);
      history.found.add(versionId);
    }
    const [latest] = versions.keys();
    const current = latest === undefined ? undefined : history.versions.get(latest);
    requirePossible(key, await client.get(versionedBucket, key), [current]);
  });
}

/** A completion whose answer never came is asked for again, and must succeed: it happened, or it happens now. */
async function verifyUploads(client: Client, { uploads, plain }: Books): Promise<void> {
  await forEachBounded([...uploads], connections, async (upload) => {
    const isThere = settleUpload(upload, await client.listParts(upload));
    const { open } = upload;
    if (open?.kind === 'complete') {
      await client.complete(upload, open.partNumbers, joinParts(upload, open.partNumbers));
      plain.acknowledge(open.write);
    }
    if (!isThere || open?.kind === 'complete') uploads.splice(uploads.indexOf(upload), 1);
  });
}

export function openBooks(plain: Books['plain']): Books {
  return { plain, versioned: new Map<string, VersionHistory>(), uploads: [] };
}
