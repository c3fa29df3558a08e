import { Failure, isFailure } from '../core/failure.ts';
import type { Checksum, ObjectAttributes, ObjectVersion, StoredContent } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import { releaseEach } from '../core/release-memory.ts';
import type { PutVersion } from '../metadata/metadata-store.ts';
import { PayloadDigester, type PayloadDigests, type WantedDigests } from './digest-payload.ts';
import type { CopiedObject, CopyObject, CopySource } from './engine.ts';
import { type EngineParts, findProfile } from './engine-parts.ts';
import { checkWriteTarget, findBucket, findObject } from './find-object.ts';
import { journaled } from './journaled.ts';
import { checkCopyConditions } from './read-conditions.ts';
import { readSpans } from './read-spans.ts';
import { storePayload } from './store-payload.ts';

/** How often a source may be replaced under a copy before it is given up. */
const maxAttempts = 3;

/**
 * Copies an object version. The copy shares the stripes of its source, since stripes never change; bytes are read only
 * for a checksum that the source does not have, and written only into another storage class. What the copy keeps of its
 * source: docs/decisions/0010-copies-share-stripes.md.
 *
 * @throws Failure `copy-source-too-large`, `copy-onto-itself`, `precondition-failed`, and what `findObject` throws
 */
export async function copyObject(parts: EngineParts, request: CopyObject, signal: AbortSignal): Promise<CopiedObject> {
  findProfile(parts, request.storageClass);
  await checkWriteTarget(parts, request, request.condition);
  return retryCopy(async () => {
    const source = await openCopySource(parts, request.source);
    checkCopySize(parts, source.sizeBytes);
    checkChange(request, source);
    const version = await copyVersion(parts, request, source, signal);
    return { version, sourceVersionId: source.versionId };
  });
}

/** Finds a copy's source and checks its conditions. */
export async function openCopySource(parts: EngineParts, source: CopySource): Promise<ObjectVersion> {
  const version = await findObject(parts, source);
  checkCopyConditions(source.conditions, version);
  return version;
}

/** Begins anew when the source was replaced, and its stripes went, between the look at it and the write. */
export async function retryCopy<T>(attempt: () => Promise<T>): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isFailure(error, 'stripe-missing') || count === maxAttempts) throw error;
    }
  }
}

export function checkCopySize({ limits }: EngineParts, sizeBytes: number): void {
  const { maxPutBytes: maxBytes } = limits;
  if (sizeBytes > maxBytes) throw new Failure('copy-source-too-large', { sizeBytes, maxBytes });
}

/** Reads content through, for its digests alone. */
export async function digestSpans(
  parts: EngineParts,
  spans: StoredContent['spans'],
  wanted: Omit<WantedDigests, 'sha256'>,
  signal: AbortSignal,
): Promise<PayloadDigests> {
  const digester = new PayloadDigester({ sha256: false, ...wanted }, parts.md5);
  try {
    for await (const chunk of releaseEach(readSpans(parts, spans, signal))) {
      const digested = digester.update(chunk);
      if (digested !== undefined) await digested;
    }
    return await digester.finish();
  } finally {
    digester.close();
  }
}

/** AWS refuses a copy onto itself that would change nothing. */
function checkChange(request: CopyObject, source: ObjectVersion): void {
  const { bucket, key } = request;
  const isItself = request.source.bucket === bucket && request.source.key === key;
  if (!isItself || request.source.versionId !== undefined) return;
  if (request.metadata !== undefined || request.tags !== undefined) return;
  if (request.storageClass !== source.storageClass || lacksChecksum(request, source)) return;
  throw new Failure('copy-onto-itself', { bucket, key });
}

function lacksChecksum({ checksumAlgorithm }: CopyObject, source: ObjectVersion): boolean {
  return checksumAlgorithm !== undefined && checksumAlgorithm !== source.checksum?.algorithm;
}

async function copyVersion(
  parts: EngineParts,
  request: CopyObject,
  source: ObjectVersion,
  signal: AbortSignal,
): Promise<ObjectVersion> {
  const write: Omit<PutVersion, 'content' | 'stripes' | 'number' | 'modifiedAtMs'> = {
    bucket: request.bucket,
    key: request.key,
    ownerId: request.ownerId,
    attributes: copyAttributes(request, source),
    parts: source.parts,
    ...(request.condition && { condition: request.condition }),
  };
  const { sizeBytes, etag, spans } = source;
  const checksumAlgorithm = lacksChecksum(request, source) ? request.checksumAlgorithm : undefined;
  const content = (checksum: Checksum | undefined): StoredContent => {
    const kept = checksum ?? source.checksum;
    return { sizeBytes, etag, spans, ...(kept && { checksum: kept }) };
  };
  // The copy has its source's ETag, whatever kind it is of: no MD5 is needed.
  const etags = 'opaque';
  if (request.storageClass === source.storageClass) {
    const digests = checksumAlgorithm && (await digestSpans(parts, spans, { etags, checksumAlgorithm }, signal));
    const number = parts.metadata.drawNumber();
    const modifiedAtMs = parts.clock.now();
    const copied = content(digests?.checksum);
    const version = { ...write, number, modifiedAtMs, content: copied, stripes: [] };
    return journaled(parts, parts.metadata.putVersion(version));
  }
  const moved = (written: StoredContent): StoredContent => ({ ...content(written.checksum), spans: written.spans });
  const { id: bucketId } = await findBucket(parts, request.bucket);
  const payload: Payload = {
    bytes: releaseEach(readSpans(parts, spans, signal)),
    sizeBytes,
    checksumAlgorithm,
    declaredDigests: () => ({}),
  };
  return storePayload(
    parts,
    {
      payload,
      profile: findProfile(parts, request.storageClass),
      etags,
      checksumAlgorithm,
      describe: (written, stamp) => {
        return { kind: 'version', bucketId, ...write, content: moved(written), ...stamp };
      },
    },
    (stored) => parts.metadata.putVersion({ ...write, ...stored, content: moved(stored.content) }),
    signal,
  );
}

/** A website redirect belongs to one object and is never copied with it (API_CopyObject). */
function copyAttributes(request: CopyObject, source: ObjectVersion): ObjectAttributes {
  const { websiteRedirectLocation: _, ...headers } = source.headers;
  const { metadata } = request;
  return {
    headers: metadata?.headers ?? headers,
    userMetadata: metadata?.userMetadata ?? source.userMetadata,
    tags: request.tags ?? source.tags,
    storageClass: request.storageClass,
  };
}
