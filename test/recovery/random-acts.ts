import { createHash } from 'node:crypto';
import { isFailure } from '../../core/failure.ts';
import {
  createBucket,
  type LiveEngine,
  never,
  ownerId,
  payloadOf,
  plainAttributes,
  type RecoveryWorld,
} from './recovery-harness.ts';

/** A step of a history: what is done, and four small numbers that say with what. */
export interface Act {
  readonly name: keyof typeof acts;
  readonly seed: readonly [number, number, number, number];
}

/** What an act may leave in doubt until the journal has it: of a bucket all, or one of its keys. */
export type Doubt = { readonly bucket: string; readonly key?: string };

interface Stage {
  readonly live: LiveEngine;
  readonly world: RecoveryWorld;
  readonly seed: Act['seed'];
}

const bucketOf = ({ seed }: Stage): string => `bucket-${seed[0] % 2}`;
const targetOf = (stage: Stage): { bucket: string; key: string } => {
  return { bucket: bucketOf(stage), key: `key-${stage.seed[1] % 4}` };
};

function bytesOf({ seed }: Stage): Uint8Array {
  const sizes = [0, 1, 900, 5_000, 70_000, 140_000, 300_000];
  const bytes = Buffer.alloc(sizes[seed[2] % sizes.length]!);
  const digest = createHash('sha256').update(seed.join()).digest();
  for (let at = 0; at < bytes.length; at += digest.length) digest.copy(bytes, at);
  return bytes;
}

async function findOpenUpload({ live, seed, ...stage }: Stage) {
  const { uploads } = await live.engine.uploads.list({ bucket: bucketOf({ live, seed, ...stage }), limit: 100 });
  return uploads[seed[1] % Math.max(uploads.length, 1)];
}

async function putOnce(stage: Stage): Promise<void> {
  const { live, seed } = stage;
  const attributes = { ...plainAttributes, userMetadata: { seed: seed.join() }, tags: { a: `${seed[3]}` } };
  const condition = seed[3] % 5 === 0 ? { condition: { kind: 'absent' as const } } : {};
  const request = { ...targetOf(stage), ownerId, payload: payloadOf(bytesOf(stage)), attributes, ...condition };
  await live.engine.objects.put(request, never);
}

/** Each returns what it leaves in doubt until the journal has it, where it does not wait for that itself. */
export const acts = {
  async createBucket(stage: Stage): Promise<void> {
    await createBucket(stage.live, bucketOf(stage));
  },
  async deleteBucket(stage: Stage): Promise<Doubt | undefined> {
    await stage.live.engine.buckets.delete(bucketOf(stage));
    return { bucket: bucketOf(stage) };
  },
  async setVersioning(stage: Stage): Promise<void> {
    await stage.live.engine.buckets.setVersioning(bucketOf(stage), stage.seed[1] % 2 === 0 ? 'enabled' : 'suspended');
  },
  async setProfile(stage: Stage): Promise<void> {
    await stage.live.engine.buckets.setProfile(bucketOf(stage), stage.seed[1] % 2 === 0 ? 'STANDARD' : undefined);
  },
  put: putOnce,
  async putTogether(stage: Stage): Promise<void> {
    const [bucket, , , last] = stage.seed;
    // Other keys, so that what they come to does not depend on who is first.
    const puts = Array.from({ length: 4 }, (_, key) => putOnce({ ...stage, seed: [bucket, key, key + last, last] }));
    for (const outcome of await Promise.allSettled(puts)) if (outcome.status === 'rejected') throw outcome.reason;
  },
  async copy(stage: Stage): Promise<void> {
    const source = { bucket: bucketOf(stage), key: `key-${stage.seed[2] % 4}` };
    const request = {
      ...targetOf(stage),
      source,
      ownerId,
      storageClass: 'STANDARD',
      metadata: { headers: {}, userMetadata: {} },
    };
    await stage.live.engine.objects.copy(request, never);
  },
  async remove(stage: Stage): Promise<Doubt> {
    const target = targetOf(stage);
    await stage.live.engine.objects.delete({ ...target, ownerId, nowMs: stage.world.clock.now() });
    return target;
  },
  async removeVersion(stage: Stage): Promise<Doubt | undefined> {
    const { live, world, seed } = stage;
    const { versions } = await live.engine.objects.listVersions({ bucket: bucketOf(stage), limit: 100 });
    const chosen = versions[seed[1] % Math.max(versions.length, 1)];
    if (chosen === undefined) return undefined;
    const { key, versionId } = chosen;
    await live.engine.objects.delete({ bucket: bucketOf(stage), key, versionId, ownerId, nowMs: world.clock.now() });
    return { bucket: bucketOf(stage), key };
  },
  async setTags(stage: Stage): Promise<void> {
    await stage.live.engine.objects.setTags(targetOf(stage), { changed: `${stage.seed[3]}` });
  },
  async createUpload(stage: Stage): Promise<void> {
    await stage.live.engine.uploads.create({ ...targetOf(stage), ownerId, attributes: plainAttributes });
  },
  async putPart(stage: Stage): Promise<void> {
    const upload = await findOpenUpload(stage);
    if (upload === undefined) return;
    const { bucket, key, uploadId } = upload;
    const request = { bucket, key, uploadId, partNumber: 1 + (stage.seed[3] % 2), payload: payloadOf(bytesOf(stage)) };
    await stage.live.engine.uploads.putPart(request, never);
  },
  async copyPart(stage: Stage): Promise<void> {
    const upload = await findOpenUpload(stage);
    if (upload === undefined) return;
    const { bucket, key, uploadId } = upload;
    const request = { bucket, key, uploadId, partNumber: 1, source: targetOf(stage) };
    await stage.live.engine.uploads.copyPart(request, never);
  },
  async complete(stage: Stage): Promise<void> {
    const upload = await findOpenUpload(stage);
    if (upload === undefined) return;
    const { parts } = await stage.live.engine.uploads.listParts(upload, 0, 100);
    const { bucket, key, uploadId } = upload;
    await stage.live.engine.uploads.complete({ bucket, key, uploadId, parts: parts.slice(0, 1) }, never);
  },
  async abort(stage: Stage): Promise<Doubt | undefined> {
    const upload = await findOpenUpload(stage);
    if (upload === undefined) return undefined;
    await stage.live.engine.uploads.abort(upload);
    return { bucket: upload.bucket, key: upload.key };
  },
  async upkeep({ live, world }: Stage): Promise<void> {
    world.clock.nowMs += 1_000;
    await live.upkeep.runOnce();
  },
  async journal({ live, seed }: Stage): Promise<void> {
    await live.journal.runOnce({ isSnapshotDue: seed[0] % 3 === 0 });
  },
};

/** What an act may change, should it be interrupted. */
export function doubtOf({ name, seed }: Act): Doubt[] {
  const bucket = `bucket-${seed[0] % 2}`;
  const one = { bucket, key: `key-${seed[1] % 4}` };
  if (['createBucket', 'deleteBucket', 'setVersioning', 'setProfile'].includes(name)) return [{ bucket }];
  if (name === 'upkeep' || name === 'journal') return [];
  if (name === 'put' || name === 'copy' || name === 'remove' || name === 'setTags') return [one];
  return Array.from({ length: 4 }, (_, key) => ({ bucket, key: `key-${key}` }));
}

/** Runs an act; a refusal is as good as anything. */
export async function runAct(live: LiveEngine, world: RecoveryWorld, act: Act): Promise<Doubt | undefined> {
  try {
    return (await acts[act.name]({ live, world, seed: act.seed })) ?? undefined;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}
