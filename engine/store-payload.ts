import { markDurableStep } from '../core/durable-steps.ts';
import { Failure, isFailure } from '../core/failure.ts';
import type { ChecksumAlgorithm, ETagKind, Profile, StoredContent } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import { sealedBytes } from '../crypto/sealed-stream.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import { collectPayload } from './collect-payload.ts';
import { checkDeclaredDigests, digestWhole, type WantedDigests } from './digest-payload.ts';
import { discardStripes } from './discard-stripes.ts';
import type { EngineParts } from './engine-parts.ts';
import { EntryText, type ManifestEntry } from './manifest.ts';
import type { PackOutcome } from './packer.ts';
import { isDegraded, writeContent } from './write-content.ts';
import type { FreshItem } from './write-pack.ts';

export interface StoreRequest {
  readonly payload: Payload;
  readonly profile: Profile;
  readonly etags: ETagKind;
  /** A checksum to compute, in place of the one that the payload names. */
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
  /** What the manifest is to say of the content; the same for the same arguments. */
  describe(content: StoredContent, stamp: WriteStamp): ManifestEntry;
}

/** What the manifest says beside the content, and the metadata store must say too. */
export interface WriteStamp {
  /**
   * Drawn from the metadata store when all is there but the manifest, so that a recovery, which goes by numbers, sees writes of
   * one key about in the order in which they came to be.
   */
  readonly number: number;
  /** When the last byte had come. */
  readonly modifiedAtMs: number;
}

export interface StoredPayload extends WriteStamp {
  readonly content: StoredContent;
  /** Durable, and unknown to the metadata store, unless another object in the same pack was registered first. */
  readonly stripes: readonly NewStripe[];
}

/** How often a small object goes into a pack until it is registered. */
const maxAttempts = 3;

type Register<T> = (stored: StoredPayload) => Promise<T>;

/**
 * Stores a payload and lets `register` make it exist in the metadata store. When either fails nothing is visible, and
 * what was written is taken back as far as could be. Stripes that lack shards are repaired right after.
 *
 * @throws Failure `digest-mismatch`, `body-incomplete`, `object-too-large`, `too-few-writes`, `storage-full`,
 *   `overloaded`; whatever the payload throws; the signal's reason
 */
export async function storePayload<T>(
  parts: EngineParts,
  request: StoreRequest,
  register: Register<T>,
  signal: AbortSignal,
): Promise<T> {
  const { sizeBytes } = request.payload;
  const { maxPutBytes: maxBytes, packObjectBytes } = parts.limits;
  if (sizeBytes !== undefined && sizeBytes > maxBytes) throw new Failure('object-too-large', { sizeBytes, maxBytes });
  const { metadata, pins, clock } = parts;
  const startedAtMs = clock.now();
  let endWrite = pins.beginWrite(metadata.drawNumber(), startedAtMs);
  const takeStamp = (): WriteStamp => {
    const number = metadata.drawNumber();
    const endEarlier = endWrite;
    endWrite = pins.beginWrite(number, startedAtMs);
    endEarlier();
    return { number, modifiedAtMs: clock.now() };
  };
  try {
    const isSmall = sizeBytes !== undefined && sizeBytes <= packObjectBytes;
    return isSmall
      ? await storeSmall(parts, request, takeStamp, sizeBytes, register, signal)
      : await storeLarge(parts, request, takeStamp, register, signal);
  } finally {
    endWrite();
  }
}

/** A small object is gathered in memory, and shares a stripe with others that arrive together. */
async function storeSmall<T>(
  parts: EngineParts,
  request: StoreRequest,
  takeStamp: () => WriteStamp,
  sizeBytes: number,
  register: Register<T>,
  signal: AbortSignal,
): Promise<T> {
  const { payload, profile, describe } = request;
  const lease = await parts.writeBudget.acquire(sizeBytes, signal);
  try {
    const plain = await collectPayload(payload, sizeBytes, signal);
    const wanted = wantedDigests(request);
    const declared = payload.declaredDigests();
    // Nobody waits for it before the pack is written: it is hashed there, together with others.
    const isMd5Pending = wanted.etags === 'md5' && declared.md5 === undefined && sizeBytes > 0;
    const digests = digestWhole(plain, wanted, { isMd5Pending });
    checkDeclaredDigests(declared, digests);
    const { etag, checksum, md5Hex } = digests;
    if (!isMd5Pending) parts.metrics.noteMd5(md5Hex === undefined ? 'skipped' : 'alone', sizeBytes);
    const described = { sizeBytes, etag, ...(checksum && { checksum }) };
    const stamp = takeStamp();
    if (sizeBytes === 0) {
      return await registerEmpty(parts, { content: { ...described, spans: [] }, stripes: [], ...stamp }, register);
    }
    const entry = new EntryText(describe({ ...described, spans: [] }, stamp));
    const item: FreshItem = {
      plain,
      sealedBytes: sealedBytes(sizeBytes),
      entry,
      entryBytes: entry.boundBytes,
      isMd5Wanted: isMd5Pending,
    };
    for (let attempt = 1; ; attempt++) {
      const { extent, stripe, wrappedKey, md5Hex = etag, settle } = await parts.packerOf(profile).add(item);
      const span = { wrappedKey, streamBytes: sizeBytes, offset: 0, length: sizeBytes, extents: [extent] };
      const stored = { content: { ...described, etag: md5Hex, spans: [span] }, stripes: [stripe], ...stamp };
      try {
        return await registerStored(parts, stored, register, settle);
      } catch (error) {
        // The others of the pack were registered and deleted again before this one had its turn, and the stripe is freed.
        if (!isFailure(error, 'stripe-missing') || attempt === maxAttempts) throw error;
      }
    }
  } finally {
    lease.release();
  }
}

async function storeLarge<T>(
  parts: EngineParts,
  request: StoreRequest,
  takeStamp: () => WriteStamp,
  register: Register<T>,
  signal: AbortSignal,
): Promise<T> {
  const { payload, profile, describe } = request;
  let stamp = takeStamp();
  const { content, stripes } = await writeContent(
    parts,
    {
      payload,
      profile,
      digests: wantedDigests(request),
      describe: (written) => {
        stamp = takeStamp();
        return describe(written, stamp);
      },
    },
    signal,
  );
  const stored = { content, stripes, ...stamp };
  if (stripes.length === 0) return registerEmpty(parts, stored, register);
  markDurableStep('stripes-stored');
  return registerStored(parts, stored, register, (outcome) => {
    if (outcome === 'refused') void discardStripes(parts, stripes);
  });
}

/** What has no bytes has no stripe either whose manifest could tell of it. */
async function registerEmpty<T>(parts: EngineParts, stored: StoredPayload, register: Register<T>): Promise<T> {
  const registered = await register(stored);
  await parts.journal.flush();
  return registered;
}

async function registerStored<T>(
  parts: EngineParts,
  stored: StoredPayload,
  register: Register<T>,
  settle: (outcome: PackOutcome) => void,
): Promise<T> {
  try {
    const registered = await register(stored);
    settle('registered');
    if (stored.stripes.some(isDegraded)) parts.kickRepair();
    return registered;
  } catch (error) {
    // After any other error the store may yet have taken the write: then only `collect` can tell.
    settle(isFailure(error) ? 'refused' : 'unknown');
    throw error;
  }
}

function wantedDigests({ payload, etags, checksumAlgorithm }: StoreRequest): WantedDigests {
  return { etags, sha256: payload.declaredDigests().sha256Hex !== undefined, checksumAlgorithm };
}
