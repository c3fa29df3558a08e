import assert from 'node:assert/strict';
import { type Failure, type FailureKind, isFailure } from '../../core/failure.ts';
import type { ChecksumAlgorithm, Stripe, StripeId, WriteCondition } from '../../core/model.ts';
import type { DeclaredDigests, Payload } from '../../core/payload.ts';
import { sealedBytes } from '../../crypto/sealed-stream.ts';
import { planStripe } from '../../engine/stripe-plan.ts';
import { storedShardCount } from '../../erasure/geometry.ts';
import { extentsOf } from '../harness/extents-of.ts';
import { md5Hex, patternBytes } from '../harness/pattern-bytes.ts';
import type { Place } from './place.ts';
import type { ConditionKind, S3Model } from './s3-model.ts';
import { bucketName, type World } from './world.ts';

/** What the acts of a history work on: a world, and the model that says what must be true of it. */
export interface Stage {
  readonly world: World;
  readonly model: S3Model;
  /** Reads that were begun and are not over. */
  readonly readers: HeldRead[];
  /** Draws numbers, so that no two bodies are the same. */
  draw(): number;
  /** How often the providers that can be written to changed; see `predictShortage`. */
  weatherChanges: number;
}

export interface HeldRead {
  readonly chunks: AsyncIterator<Uint8Array>;
  readonly got: Uint8Array[];
  readonly expected: Buffer;
  readonly stripeIds: readonly StripeId[];
}

/** The process died in the middle of an act, so whatever came of it means nothing. */
export class ProcessDied extends Error {}

export type Outcome<T> = { readonly value: T; readonly failure?: undefined } | { readonly failure: Failure };

/** Does something to the engine. @throws ProcessDied; whatever is no `Failure` */
export async function attempt<T>({ world }: Stage, work: () => Promise<T>): Promise<Outcome<T>> {
  const outcome = await work().then(
    (value) => ({ value }),
    (error: unknown) => {
      if (world.gate.isShut) throw new ProcessDied();
      if (!isFailure(error)) throw error;
      return { failure: error };
    },
  );
  if (world.gate.isShut) throw new ProcessDied();
  return outcome;
}

/**
 * Checks whether something was refused as it had to be. Where several things are wrong any of them may be named.
 *
 * @param allowed refusals that are right too, but need not come
 * @returns what it came to, where it succeeded
 */
export function judge<T>(
  outcome: Outcome<T>,
  refusals: readonly FailureKind[],
  allowed: readonly FailureKind[] = [],
): { readonly value: T } | undefined {
  const { failure } = outcome;
  if (failure !== undefined) {
    const right = [...refusals, ...allowed];
    assert.ok(
      right.includes(failure.kind),
      `refused with ${failure.stack}, where ${right.join(' or ') || 'nothing'} was right`,
    );
    return undefined;
  }
  assert.deepEqual(refusals, [], 'this should have been refused');
  return { value: outcome.value };
}

export function pick<T>(items: readonly T[], number: number): T | undefined {
  return items[number % Math.max(1, items.length)];
}

export function toCondition({ model }: Stage, key: string, kind: ConditionKind): WriteCondition | undefined {
  if (kind === 'none') return undefined;
  if (kind === 'absent') return { kind };
  if (kind === 'any') return { kind: 'etag', etag: '*' };
  const current = model.current(key);
  return { kind: 'etag', etag: kind === 'etag' && current ? current.etag : md5Hex('another') };
}

/** Conditions that a DELETE can have. */
export function toEtagCondition(
  stage: Stage,
  key: string,
  kind: ConditionKind,
): Extract<WriteCondition, { kind: 'etag' }> | undefined {
  const condition = toCondition(stage, key, kind);
  return condition?.kind === 'etag' ? condition : undefined;
}

export interface Body {
  readonly sizeBytes: number;
  readonly isUnsized: boolean;
  readonly digest: string;
}

export function makeBody(
  stage: Stage,
  { sizeBytes, isUnsized, digest }: Body,
  checksumAlgorithm?: ChecksumAlgorithm,
): { readonly bytes: Buffer; readonly payload: Payload; readonly refusals: FailureKind[] } {
  const bytes = patternBytes(sizeBytes, stage.draw());
  const md5 = Buffer.from(digest === 'wrong' ? md5Hex('another') : md5Hex(bytes), 'hex').toString('base64');
  const declared: DeclaredDigests = digest === 'none' ? {} : { md5 };
  const payload: Payload = {
    bytes: cutIntoChunks(bytes),
    sizeBytes: isUnsized ? undefined : sizeBytes,
    checksumAlgorithm,
    declaredDigests: () => declared,
  };
  return { bytes, payload, refusals: digest === 'wrong' ? ['digest-mismatch'] : [] };
}

/** Each chunk is wiped once the next one is asked for, as the contract allows. */
async function* cutIntoChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const chunkBytes = 50_000;
  for (let offset = 0; offset < bytes.length; offset += chunkBytes) {
    const chunk = Uint8Array.from(bytes.subarray(offset, offset + chunkBytes));
    yield chunk;
    chunk.fill(0xee);
  }
}

export async function collectBytes(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** Asserts that bytes are these; a difference of a megabyte is not worth printing. */
export function assertBytes(actual: Buffer, expected: Buffer, what: string): void {
  assert.equal(actual.length, expected.length, `length of ${what}`);
  assert.ok(actual.equals(expected), `other bytes than were stored: ${what}`);
}

/** A manifest of a history's objects is sealed no shorter and no longer than that. */
const manifestBounds = [200, 1500] as const;

/** Whether a write shares its stripe with others that come together. */
export function isPacked({ world }: Stage, { sizeBytes, isUnsized }: Pick<Body, 'sizeBytes' | 'isUnsized'>): boolean {
  return !isUnsized && sizeBytes > 0 && sizeBytes <= world.packObjectBytes;
}

/** How many shards a write comes to, at least and at most. */
function countShards(stage: Stage, body: Pick<Body, 'sizeBytes' | 'isUnsized'>): number[] {
  const { k, m } = stage.world.profile;
  if (body.sizeBytes === 0) return [0];
  // By itself it is one block of a pack.
  if (isPacked(stage, body)) return [1 + m];
  return manifestBounds.map((manifestBytes) => {
    const dataBytes = sealedBytes(body.sizeBytes) + manifestBytes;
    const { blockBytes } = planStripe({ k }, { sizeBytes: body.isUnsized ? undefined : dataBytes, writtenBytes: 0 });
    return storedShardCount({ k, m, blockBytes, dataBytes });
  });
}

/**
 * Tells whether a write will find enough providers: `shortage` returns refusals that must come and such that may, once
 * the write is over. It is certain only where the providers stayed as they were meanwhile.
 */
export function watchShortage(
  stage: Stage,
  body: Pick<Body, 'sizeBytes' | 'isUnsized'>,
): () => {
  readonly must: FailureKind[];
  readonly may: FailureKind[];
} {
  const { world } = stage;
  const { m } = world.profile;
  const shortOf = (storedShards: number): boolean => {
    const durable = Math.min(storedShards, world.places.filter((place) => !place.isLost).length);
    return durable < storedShards - Math.floor(m / 2);
  };
  const changesBefore = stage.weatherChanges;
  const shortages = countShards(stage, body).map(shortOf);
  const wasFlaky = world.places.some((place) => place.hasFaultsToCome);
  return () => {
    if (wasFlaky || stage.weatherChanges !== changesBefore) return { must: [], may: ['too-few-writes'] };
    if (shortages.every((isShort) => isShort)) return { must: ['too-few-writes'], may: [] };
    return { must: [], may: shortages.includes(true) ? ['too-few-writes'] : [] };
  };
}

/** Stripes that somebody may yet read: those of all versions and parts, and of reads that are not over. */
export async function findNeededStripes({ world, model, readers }: Stage): Promise<Stripe[]> {
  const { metadata } = world;
  const ids = new Set<StripeId>(readers.flatMap(({ stripeIds }) => stripeIds));
  for (const { key, versionId, kind } of model.versions) {
    if (kind !== 'object') continue;
    const version = await metadata.findVersion(bucketName, key, versionId);
    assert.ok(version?.kind === 'object', `no version ${versionId} of ${key}`);
    for (const { stripeId } of extentsOf(version)) ids.add(stripeId);
  }
  for (const { key, uploadId } of model.openUploads()) {
    const { parts } = await metadata.listParts(bucketName, key, uploadId);
    for (const part of parts) for (const { stripeId } of extentsOf(part)) ids.add(stripeId);
  }
  const stripes = await metadata.findStripes([...ids]);
  assert.equal(stripes.size, ids.size, 'a stripe that is needed is not known');
  return [...stripes.values()];
}

/** How many more shards a stripe can lose; less one where it has one at `doomed`. */
export function countSpares({ world }: Stage, stripe: Stripe, doomed?: Place): number {
  const good = stripe.shards.filter(({ providerId, cid }) => {
    const place = world.places.find(({ id }) => id === providerId);
    return place !== undefined && place !== doomed && !place.isLost && !place.isDamaged(cid);
  });
  return good.length - (storedShardCount(stripe) - stripe.m);
}
