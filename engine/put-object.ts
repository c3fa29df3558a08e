import type { ObjectVersion } from '../core/model.ts';
import type { PutObject } from './engine.ts';
import { type EngineParts, findProfile } from './engine-parts.ts';
import { checkWriteTarget } from './find-object.ts';
import { chooseETagKind } from './opaque-etag.ts';
import { storePayload } from './store-payload.ts';

/** Stores a payload as a new version of a key. */
export async function putObject(parts: EngineParts, request: PutObject, signal: AbortSignal): Promise<ObjectVersion> {
  const { bucket, key, ownerId, payload, attributes, condition } = request;
  const startedAtMs = performance.now();
  const profile = findProfile(parts, attributes.storageClass);
  const target = await checkWriteTarget(parts, request, condition);
  const version = { bucket, key, ownerId, attributes, ...(condition && { condition }) };
  const stored = await storePayload(
    parts,
    {
      payload,
      profile,
      etags: chooseETagKind(parts.etags, target, payload),
      checksumAlgorithm: payload.checksumAlgorithm,
      describe: (content, stamp) => ({ kind: 'version', bucketId: target.id, content, ...version, ...stamp }),
    },
    (stored) => parts.metadata.putVersion({ ...version, ...stored }),
    signal,
  );
  // A longer one takes as long as the client takes to send it.
  const isSmall = stored.sizeBytes <= parts.limits.packObjectBytes;
  if (isSmall) parts.clientLoad.note('write', performance.now() - startedAtMs);
  return stored;
}
