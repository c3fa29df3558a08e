import { AbortScope, untilAborted } from '../core/abort.ts';
import { Failure } from '../core/failure.ts';
import type { Checksum, Extent, Profile, SealedSpan, StoredContent, StripeId } from '../core/model.ts';
import type { Payload } from '../core/payload.ts';
import { releaseWhole } from '../core/release-memory.ts';
import { createDataKey } from '../crypto/data-key.ts';
import { layOutAt, leadOfNext, type StreamPiece } from '../crypto/seal-in-place.ts';
import { sealedRecordOverheadBytes } from '../crypto/sealed-record.ts';
import { StreamSealer, sealedBytes } from '../crypto/sealed-stream.ts';
import { createStripeId } from '../erasure/stripe-id.ts';
import type { NewStripe } from '../metadata/metadata-store.ts';
import { checkDeclaredDigests, PayloadDigester, type WantedDigests } from './digest-payload.ts';
import { discardStripes } from './discard-stripes.ts';
import type { EngineParts } from './engine-parts.ts';
import { boundManifest, encodeManifest, type ManifestEntry, sealManifest } from './manifest.ts';
import { maxETag } from './opaque-etag.ts';
import type { Row } from './row-pool.ts';
import { leastThreadedBytes } from './row-work/row-work.ts';
import { countStripes, planStripe, type StripePlan } from './stripe-plan.ts';
import { StripeWriter } from './stripe-writer.ts';

const nothing = new Uint8Array(0);

export interface WriteRequest {
  readonly payload: Payload;
  readonly profile: Profile;
  readonly digests: WantedDigests;
  /** What the manifest is to say of the content; the same, but for the content, whenever it is called. Undefined: no manifest. */
  readonly describe: ((content: StoredContent) => ManifestEntry) | undefined;
}

export interface WrittenContent {
  readonly content: StoredContent;
  /** Durable, and unknown to the metadata store. */
  readonly stripes: readonly NewStripe[];
}

/**
 * Turns a payload into durable stripes of its own, at the pace of the slower of client and providers, and checks the digests that
 * the client declared. The bytes are sealed on their way; the manifest ends the last stripe. When it throws, what was written has
 * been taken back as far as could be.
 *
 * @throws Failure `digest-mismatch`, `body-incomplete`, `object-too-large`, `too-few-writes`, `storage-full`,
 *   `overloaded`; whatever the payload throws; the signal's reason
 */
export async function writeContent(
  parts: EngineParts,
  { payload, profile, digests, describe }: WriteRequest,
  signal: AbortSignal,
): Promise<WrittenContent> {
  const { sizeBytes } = payload;
  const { maxPutBytes: maxBytes } = parts.limits;
  const digester = new PayloadDigester(digests, parts.md5, sizeBytes);
  const dataKey = createDataKey();
  const sealer = new StreamSealer(dataKey, sizeBytes);
  // Where the length is known, plain bytes can be put where the sealed ones will be, and be sealed there by a thread.
  const isThreaded = parts.rowWork.hasThreads && sizeBytes !== undefined && sizeBytes >= leastThreadedBytes;
  const wrappedKey = parts.masterKey.wrap(dataKey);
  const manifestBytes = boundManifestBytes(profile, sizeBytes, wrappedKey, describe);
  const storedBytes = sizeBytes === undefined ? undefined : sealedBytes(sizeBytes) + manifestBytes;
  const scope = new AbortScope(signal);
  const writer = new ContentWriter(parts, {
    profile,
    storedBytes,
    stream: isThreaded ? { dataKey, streamBytes: sizeBytes } : undefined,
    signal: scope.signal,
  });
  let receivedBytes = 0;
  try {
    for await (const chunk of untilAborted(payload.bytes, signal)) {
      receivedBytes += chunk.length;
      if (receivedBytes > maxBytes) throw new Failure('object-too-large', { sizeBytes: receivedBytes, maxBytes });
      if (sizeBytes !== undefined && receivedBytes > sizeBytes) throw new RangeError('a payload outgrew its length');
      const digested = digester.update(chunk);
      if (isThreaded) await writer.addPlain(chunk);
      else for (const sealed of sealer.update(chunk)) await writer.add(sealed);
      // The payload has the chunk's memory back with the next call.
      if (digested !== undefined) await digested;
    }
    if (sizeBytes !== undefined && receivedBytes < sizeBytes) {
      throw new Failure('body-incomplete', { declaredBytes: sizeBytes, receivedBytes });
    }
    if (!isThreaded) for (const sealed of sealer.finish()) await writer.add(sealed);
    const received = await digester.finish();
    checkDeclaredDigests(payload.declaredDigests(), received);
    const { etag, checksum, md5Hex } = received;
    if (md5Hex === undefined) parts.metrics.noteMd5('skipped', receivedBytes);
    const content = describeContent({ sizeBytes: receivedBytes, etag, checksum, wrappedKey, extents: writer.extents });
    const stripes = await writer.finish((stripeId) => {
      if (describe === undefined) return undefined;
      const plain = encodeManifest([describe(content)], manifestBytes - sealedRecordOverheadBytes);
      return sealManifest(parts.masterKey, stripeId, plain);
    });
    return { content, stripes };
  } catch (error) {
    scope.close(error);
    await writer.abort();
    throw error;
  } finally {
    digester.close();
    scope.close();
  }
}

function describeContent(written: {
  sizeBytes: number;
  etag: string;
  checksum: Checksum | undefined;
  wrappedKey: Uint8Array;
  extents: readonly Extent[];
}): StoredContent {
  const { sizeBytes, etag, checksum, wrappedKey, extents } = written;
  const span: SealedSpan = { wrappedKey, streamBytes: sizeBytes, offset: 0, length: sizeBytes, extents };
  return { sizeBytes, etag, ...(checksum && { checksum }), spans: sizeBytes === 0 ? [] : [span] };
}

/** The length of the sealed manifest, which counts among the bytes to be laid out; 0 where it is not known beforehand. */
function boundManifestBytes(
  profile: Profile,
  sizeBytes: number | undefined,
  wrappedKey: Uint8Array,
  describe: WriteRequest['describe'],
): number {
  if (sizeBytes === undefined || describe === undefined) return 0;
  const content = describeContent({ sizeBytes, etag: maxETag, checksum: undefined, wrappedKey, extents: [] });
  let stripes = countStripes(profile, sealedBytes(sizeBytes));
  for (;;) {
    const manifestBytes = boundManifest(describe(content), stripes) + sealedRecordOverheadBytes;
    const needed = countStripes(profile, sealedBytes(sizeBytes) + manifestBytes);
    if (needed <= stripes) return manifestBytes;
    // The manifest, which names each stripe, makes stripes more itself.
    stripes = needed;
  }
}

/** A stream whose plain bytes are put into rows, to be sealed there. */
type StreamOfRows = Pick<StreamPiece, 'dataKey' | 'streamBytes'>;

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
  readonly #storedBytes: number | undefined;
  readonly #signal: AbortSignal;
  readonly #stripes: NewStripe[] = [];
  readonly #extents: { stripeId: StripeId; offset: number; length: number }[] = [];
  /** Bytes of the rows that were sent. */
  #sentBytes = 0;
  #stripe: OpenStripe | undefined;
  #row: Row | undefined;
  /** Where plain bytes are added: the stream that they are sealed as. */
  readonly #stream: StreamOfRows | undefined;
  /** Sealed bytes of the stream in all rows, and where in them the open row begins. */
  #sealedBytes = 0;
  #rowFrom = 0;
  /** What the row needs to know of the one before; see `leadOfNext`. */
  #lead: Uint8Array = nothing;
  /** Settles when nobody works on the row that was handed to a thread last. */
  #coding: Promise<unknown> = Promise.resolve();
  /** The row on its way, with the commit of its stripe where it is the last. */
  #sending: Promise<void> = Promise.resolve();
  #sendingStripe: StripeWriter | undefined;

  constructor(
    parts: EngineParts,
    request: {
      profile: Profile;
      storedBytes: number | undefined;
      stream: StreamOfRows | undefined;
      signal: AbortSignal;
    },
  ) {
    this.#parts = parts;
    this.#stream = request.stream;
    this.#profile = request.profile;
    this.#storedBytes = request.storedBytes;
    this.#signal = request.signal;
  }

  /** Where what was added lies. */
  get extents(): readonly Extent[] {
    return this.#extents;
  }

  /** Copies the chunk, which must be the writer's to give up; waits where providers or memory are behind. */
  async add(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      // Only now is it known that the full row is not the object's last.
      if (this.#row?.isFull) await this.#sendRow('more');
      const { row, stripe } = await this.#takeRow();
      const taken = row.fill(rest);
      this.#noteExtent(stripe.writer.id, taken);
      rest = rest.subarray(taken);
    }
    releaseWhole(chunk);
  }

  /** As `add`, but the bytes are not sealed yet: they are put where they will be, with room for tags. The chunk is not kept. */
  async addPlain(chunk: Uint8Array): Promise<void> {
    const { streamBytes } = this.#stream!;
    let rest = chunk;
    for (;;) {
      const { plain, gap } = layOutAt(streamBytes, this.#sealedBytes);
      if (gap === 0 && rest.length === 0) return;
      if (this.#row?.isFull) await this.#sendRow('more');
      const { row, stripe } = await this.#takeRow();
      const taken = gap > 0 ? row.skip(gap) : row.fill(rest.subarray(0, plain));
      if (gap === 0) rest = rest.subarray(taken);
      this.#sealedBytes += taken;
      this.#noteExtent(stripe.writer.id, taken);
    }
  }

  /**
   * Ends the last stripe with its manifest, where it is to have one, and waits until all is durable.
   *
   * @param manifestOf the sealed manifest for the stripe of that id
   */
  async finish(manifestOf: (stripeId: StripeId) => Uint8Array | undefined): Promise<NewStripe[]> {
    let rest = this.#stripe && manifestOf(this.#stripe.writer.id);
    const manifestBytes = rest?.length ?? 0;
    while (rest !== undefined && rest.length > 0) {
      // However full the stripe is by now: the manifest belongs to it.
      if (this.#row?.isFull) await this.#sendRow('row of this stripe');
      const { row } = await this.#takeRow();
      rest = rest.subarray(row.fill(rest));
    }
    if (this.#row !== undefined) await this.#sendRow({ manifestBytes });
    await this.#sending;
    return this.#stripes;
  }

  async #takeRow(): Promise<{ row: Row; stripe: OpenStripe }> {
    this.#stripe ??= this.#openStripe();
    this.#row ??= await this.#parts.rows.lease({ ...this.#profile, ...this.#stripe.plan }, this.#signal);
    return { row: this.#row, stripe: this.#stripe };
  }

  #noteExtent(stripeId: StripeId, length: number): void {
    const last = this.#extents.at(-1);
    if (last?.stripeId === stripeId) last.length += length;
    else this.#extents.push({ stripeId, offset: 0, length });
  }

  /** Takes back what was written. Never throws. The signal must have been aborted, which ends what is on its way. */
  async abort(): Promise<void> {
    const open = [this.#sendingStripe, this.#stripe?.writer].filter((writer) => writer !== undefined);
    const writers = [...new Set(open)];
    this.#parts.metrics.stripesWritten.inc({ outcome: 'failed' }, writers.length);
    await Promise.all(writers.map((writer) => writer.abort()));
    await this.#sending.catch(() => {});
    await this.#coding.catch(() => {});
    this.#row?.release();
    await discardStripes(this.#parts, this.#stripes);
  }

  #openStripe(): OpenStripe {
    const plan = planStripe(this.#profile, { sizeBytes: this.#storedBytes, writtenBytes: this.#sentBytes });
    const writer = new StripeWriter(this.#parts, {
      id: createStripeId(this.#parts.clock.now()),
      profile: this.#profile,
      blockBytes: plan.blockBytes,
      signal: this.#signal,
    });
    return { writer, plan };
  }

  /**
   * Waits for the row before, then starts this one on its way.
   *
   * @param next what comes after it: more, which ends the stripe if that is full; more that must lie in this stripe; or
   *   nothing, with the length of the manifest
   */
  async #sendRow(next: 'more' | 'row of this stripe' | { readonly manifestBytes: number }): Promise<void> {
    const [row, stripe] = [this.#row, this.#stripe];
    if (row === undefined || stripe === undefined) throw new Error('there is no row to send');
    // While the row before is still on its way.
    const digests = this.#stream && this.#codeRow(row, this.#stream);
    await this.#sending;
    const isFull = next === 'more' && stripe.writer.dataBytes + row.filledBytes >= stripe.plan.dataBytes;
    const end = typeof next === 'object' ? next : isFull ? { manifestBytes: 0 } : undefined;
    this.#row = undefined;
    if (end) this.#stripe = undefined;
    this.#sentBytes += row.filledBytes;
    this.#sendingStripe = stripe.writer;
    this.#sending = this.#writeRow(stripe.writer, row, end, digests);
    // Whoever waits for it next sees the error; nobody may be waiting yet.
    this.#sending.catch(() => {});
  }

  /** Seals the row's part of the stream, and codes it: in a thread where there is one. */
  #codeRow(row: Row, stream: StreamOfRows): Promise<readonly Uint8Array[]> {
    row.layOut();
    const piece = { ...stream, from: this.#rowFrom, lead: this.#lead };
    const length = this.#sealedBytes - this.#rowFrom;
    this.#lead = leadOfNext(piece, row.filled(0, length));
    this.#rowFrom = this.#sealedBytes;
    const job = { ...row.describe(), piece: length > 0 ? { ...piece, length } : undefined };
    const coded = this.#parts.rowWork.code(job);
    // Whoever waits for it next sees the error; nobody may be waiting yet.
    coded.catch(() => {});
    this.#coding = coded;
    return coded;
  }

  async #writeRow(
    writer: StripeWriter,
    row: Row,
    end: { readonly manifestBytes: number } | undefined,
    digests: Promise<readonly Uint8Array[]> | undefined,
  ): Promise<void> {
    try {
      const known = await digests;
      this.#signal.throwIfAborted();
      await writer.writeRow(row, end, known);
      if (!end) return;
      const stripe = await writer.commit();
      this.#sendingStripe = undefined;
      this.#stripes.push(stripe);
      const outcome = isDegraded(stripe) ? 'degraded' : 'full';
      this.#parts.metrics.stripesWritten.inc({ outcome });
    } finally {
      row.release(!writer.hasFailures);
    }
  }
}

/** Whether a stripe has fewer durable shards than it should. */
export function isDegraded(stripe: NewStripe): boolean {
  return stripe.shards.length < stripe.shardCount;
}
