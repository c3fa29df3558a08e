import assert from 'node:assert/strict';
import { forEachBounded } from '../../core/for-each-bounded.ts';
import { listTemporaryFiles } from '../harness/shard-files.ts';
import { type Client, plainBucket, versionedBucket } from './client.ts';
import { type Books, requirePossible } from './load.ts';
import { joinParts, settleUpload } from './upload-ledger.ts';
import type { VersionHistory } from './version-ledger.ts';

const connections = 8;

/**
 * Compares a server that has just come back with what clients were told by the one that died. From then on what was found
 * is what there is.
 */
export async function verifyAfterCrash(client: Client, books: Books, dataDir: string): Promise<void> {
  assert.deepEqual(await listTemporaryFiles(dataDir), [], 'what was being written at the crash is still there');
  await verifyUploads(client, books);
  await verifyObjects(client, books);
  await verifyVersions(client, books);
}

async function verifyObjects(client: Client, { plain }: Books): Promise<void> {
  const listed = await client.list();
  for (const key of listed.keys()) assert.ok(plain.keys().includes(key), `nobody wrote ${key}`);
  await forEachBounded(plain.keys(), connections, async (key) => {
    const found = await client.get(plainBucket, key);
    const value = requirePossible(key, found, plain.possibleValues(key, plain.now()));
    const facts = value && { etag: value.etag, sizeBytes: value.bytes.length };
    assert.deepEqual(listed.get(key), facts, `${key} in the listing`);
    assert.deepEqual(await client.head(plainBucket, key), facts, `HEAD of ${key}`);
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
