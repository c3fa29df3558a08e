import { AbortScope, untilAborted } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { ChecksumAlgorithm, Extent, Profile, StoredContent } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import { createStripeId } from '../erasure/stripe-id.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import { checkDeclaredDigests, PayloadDigester } from './digest-payload.ts';
import { discardStripes } from './discard-stripes.ts';
import type { EngineParts } from './engine-parts.ts';
import type { Row } from './row-pool.ts';
import { planStripe, type StripePlan } from './stripe-plan.ts';
import { StripeWriter } from './stripe-writer.ts';

export interface WriteRequest {
  readonly payload: Payload;
  readonly profile: Profile;
  /** A checksum to compute, in place of the one that the payload names. */
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined;
}

export interface WrittenContent {
  readonly content: StoredContent;
  /** Durable, and unknown to the metadata store. */
  readonly stripes: readonly NewStripe[];
}

/**
 * Turns a payload into durable stripes, at the pace of the slower of client and providers, and checks the digests that
 * the client declared. When it throws, what was written has been taken back as far as could be.
 *
 * @throws Failure `digest-mismatch`, `body-incomplete`, `object-too-large`, `too-few-writes`, `storage-full`,
 *   `overloaded`; whatever the payload throws; the signal's reason
 */
export async function writeContent(
  parts: EngineParts,
  { payload, profile, checksumAlgorithm }: WriteRequest,
  signal: AbortSignal,
): Promise<WrittenContent> {
  const { sizeBytes } = payload;
  const { maxPutBytes: maxBytes } = parts.limits;
  if (sizeBytes !== undefined && sizeBytes > maxBytes) throw new Failure('object-too-large', { sizeBytes, maxBytes });
  const digester = new PayloadDigester({
    sha256: payload.declaredDigests().sha256Hex !== undefined,
    checksumAlgorithm,
  });
  const scope = new AbortScope(signal);
  const writer = new ContentWriter(parts, { profile, sizeBytes, signal: scope.signal });
  let receivedBytes = 0;
  try {
    for await (const chunk of untilAborted(payload.bytes, signal)) {
      receivedBytes += chunk.length;
      if (receivedBytes > maxBytes) throw new Failure('object-too-large', { sizeBytes: receivedBytes, maxBytes });
      if (sizeBytes !== undefined && receivedBytes > sizeBytes) throw new RangeError('a payload outgrew its length');
      digester.update(chunk);
      await writer.add(chunk);
    }
    if (sizeBytes !== undefined && receivedBytes < sizeBytes) {
      throw new Failure('body-incomplete', { declaredBytes: sizeBytes, receivedBytes });
    }
    const { etag, checksum, ...others } = digester.finish();
    checkDeclaredDigests(payload.declaredDigests(), { etag, checksum, ...others });
    const { extents, stripes } = await writer.finish();
    return { content: { sizeBytes: receivedBytes, etag, extents, ...(checksum && { checksum }) }, stripes };
  } catch (error) {
    scope.close(error);
    await writer.abort();
    throw error;
  } finally {
    scope.close();
  }
}

/** A stripe that takes data. */
interface OpenStripe {
  readonly writer: StripeWriter;
  readonly plan: StripePlan;
}

/**
 * Lays a stream of bytes out in stripes. One row is filled while the one before is on its way; a row takes memory only
 * once there is a byte for it, so that a client that sends nothing holds nothing.
 */
class ContentWriter {
  readonly #parts: EngineParts;
  readonly #profile: Profile;
  readonly #sizeBytes: number | undefined;
  readonly #signal: AbortSignal;
  readonly #stripes: NewStripe[] = [];
  /** Bytes of the rows that were sent. */
  #sentBytes = 0;
  #stripe: OpenStripe | undefined;
  #row: Row | undefined;
  /** The row on its way, with the commit of its stripe where it is the last. */
  #sending: Promise<void> = Promise.resolve();
  #sendingStripe: StripeWriter | undefined;

  constructor(parts: EngineParts, request: { profile: Profile; sizeBytes: number | undefined; signal: AbortSignal }) {
    this.#parts = parts;
    this.#profile = request.profile;
    this.#sizeBytes = request.sizeBytes;
    this.#signal = request.signal;
  }

  /** Copies the chunk; waits where providers or memory are behind. */
  async add(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      // Only now is it known that the full row is not the object's last.
      if (this.#row?.isFull) await this.#sendRow(false);
      this.#stripe ??= this.#openStripe();
      this.#row ??= await this.#parts.rows.lease({ ...this.#profile, ...this.#stripe.plan }, this.#signal);
      rest = rest.subarray(this.#row.fill(rest));
    }
  }

  /** Sends what is left and waits until all is durable. */
  async finish(): Promise<{ extents: Extent[]; stripes: NewStripe[] }> {
    if (this.#row !== undefined) await this.#sendRow(true);
    await this.#sending;
    const extents = this.#stripes.map(({ id, dataBytes }) => ({ stripeId: id, offset: 0, length: dataBytes }));
    return { extents, stripes: this.#stripes };
  }

  /** Takes back what was written. Never throws. The signal must have been aborted, which ends what is on its way. */
  async abort(): Promise<void> {
    const open = [this.#sendingStripe, this.#stripe?.writer].filter((writer) => writer !== undefined);
    const writers = [...new Set(open)];
    this.#parts.metrics.stripesWritten.inc({ outcome: 'failed' }, writers.length);
    await Promise.all(writers.map((writer) => writer.abort()));
    await this.#sending.catch(() => {});
    this.#row?.release();
    await discardStripes(this.#parts, this.#stripes);
  }

  #openStripe(): OpenStripe {
    const { fleet, codec, limits, clock, noteProviderFailure } = this.#parts;
    const plan = planStripe(this.#profile, { sizeBytes: this.#sizeBytes, writtenBytes: this.#sentBytes });
    const writer = new StripeWriter({
      id: createStripeId(clock.now()),
      profile: this.#profile,
      blockBytes: plan.blockBytes,
      fleet,
      codec,
      suspectWaitMs: limits.suspectWaitMs,
      onFailure: noteProviderFailure,
      signal: this.#signal,
    });
    return { writer, plan };
  }

  /** Waits for the row before, then starts this one on its way. */
  async #sendRow(isLastOfObject: boolean): Promise<void> {
    await this.#sending;
    const [row, stripe] = [this.#row, this.#stripe];
    if (row === undefined || stripe === undefined) throw new Error('there is no row to send');
    const isLast = isLastOfObject || stripe.writer.dataBytes + row.filledBytes >= stripe.plan.dataBytes;
    this.#row = undefined;
    if (isLast) this.#stripe = undefined;
    this.#sentBytes += row.filledBytes;
    this.#sendingStripe = stripe.writer;
    this.#sending = this.#writeRow(stripe.writer, row, isLast);
    // Whoever waits for it next sees the error; nobody may be waiting yet.
    this.#sending.catch(() => {});
  }

  async #writeRow(writer: StripeWriter, row: Row, isLast: boolean): Promise<void> {
    try {
      await writer.writeRow(row, isLast);
      if (!isLast) return;
      const stripe = await writer.commit();
      this.#sendingStripe = undefined;
      this.#stripes.push(stripe);
      const outcome = isDegraded(stripe) ? 'degraded' : 'full';
      this.#parts.metrics.stripesWritten.inc({ outcome });
    } finally {
      row.release();
    }
  }
}

/** Whether a stripe has fewer durable shards than it should. */
export function isDegraded(stripe: NewStripe): boolean {
  return stripe.shards.length < stripe.shardCount;
}
