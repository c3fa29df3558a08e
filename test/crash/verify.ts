import assert from 'node:assert/strict';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import { type Client, plainBucket, versionedBucket } from './client.ts';
import { type Books, requirePossible } from './load.ts';
import { joinParts, settleUpload } from './upload-ledger.ts';
import type { VersionHistory } from './version-ledger.ts';

const connections = 8;

/** Objects larger than this are not read again each time, as long as nobody wrote to them. */
const smallBytes = 200 * 1024;

/**
 * Compares a server that has just come back with what clients were told by the one that died. From then on what was found
 * is what there is. It may itself die meanwhile: then this can be begun anew with the next one.
 *
 * @param isThorough reads everything again, large objects that nobody wrote to among them
 */
export async function verifyAfterCrash(client: Client, books: Books, isThorough: boolean): Promise<void> {
  books.plain.resolveCopies();
  await verifyUploads(client, books);
  await verifyObjects(client, books, isThorough);
  await verifyVersions(client, books);
}

async function verifyObjects(client: Client, { plain }: Books, isThorough: boolean): Promise<void> {
  const listed = await client.list();
  for (const key of listed.keys()) assert.ok(plain.keys().includes(key), `nobody wrote ${key}`);
  await forEachBounded([...plain.keys().entries()], connections, async ([index, key]) => {
    const settled = plain.settledValue(key);
    const isSpared = !isThorough && settled !== undefined && settled.bytes.length > smallBytes;
    const found = isSpared ? settled : await client.get(plainBucket, key);
    const value = requirePossible(key, found, plain.possibleValues(key, plain.now()));
    const facts = value && { etag: value.etag, sizeBytes: value.bytes.length };
    assert.deepEqual(listed.get(key), facts, `${key} in the listing`);
    // A listing and a HEAD come from different indexes; that they agree need not be seen for every key each time.
    const isAsked = isThorough || isSpared || index % 4 === plain.now() % 4;
    if (isAsked) assert.deepEqual(await client.head(plainBucket, key), facts, `HEAD of ${key}`);
    plain.settle(key, value);
  });
}

async function verifyVersions(client: Client, { versioned }: Books): Promise<void> {
  const listed = await client.listVersions();
  for (const key of listed.keys()) assert.ok(versioned.has(key), `nobody wrote ${key}`);
  await forEachBounded(versioned, connections, async ([key, history]) => {
    const versions = listed.get(key) ?? new Map();
    history.settle(versions);
    for (const [versionId, value] of history.versions) {
      if (value === undefined) continue;
      requirePossible(`${key} ${versionId}`, await client.get(versionedBucket, key, versionId), [value]);
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
