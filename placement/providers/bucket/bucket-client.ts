import type { Readable } from 'node:stream';
import type { CompletedPart, S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { BucketError, hasFault, toBucketError } from './bucket-error.ts';
import { closedError, guardTransport, type TransportState } from './guard-transport.ts';

/** Where a bucket is and who asks. */
export interface BucketAddress {
  /** URL of the S3 endpoint; that of AWS in `region` unless given. */
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly bucket: string;
  /** What every key begins with, as it is; usually ends with a slash. Empty unless given. */
  readonly prefix?: string | undefined;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** `endpoint/bucket/key` in place of `bucket.endpoint/key`. True unless given where there is an `endpoint`. */
  readonly forcePathStyle?: boolean | undefined;
  /** Connections at most; further requests wait for one. 64 unless given. */
  readonly maxSockets?: number | undefined;
}

export interface BucketEntry {
  /** Without the bucket's prefix. */
  readonly key: string;
  readonly bytes: number;
  /** By the endpoint's clock, in whole seconds: some of an endpoint's answers tell no more. */
  readonly modifiedAtMs: number;
}

export interface BucketUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly startedAtMs: number;
}

const maxPageKeys = 1_000;
const defaultMaxSockets = 64;

type Sdk = typeof import('@aws-sdk/client-s3');

/**
 * Loads the SDK, which takes a fifth of a second of CPU, and makes a client. Nothing is sent.
 *
 * @throws Error for an endpoint that is no URL
 */
export async function openBucketClient(address: BucketAddress): Promise<BucketClient> {
  const { endpoint, region, accessKeyId, secretAccessKey, maxSockets = defaultMaxSockets } = address;
  if (endpoint !== undefined && !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new Error(`${endpoint} is not an HTTP endpoint`);
  }
  const sdk = await import('@aws-sdk/client-s3');
  const agent = { keepAlive: true, maxSockets };
  const config: S3ClientConfig = {
    region,
    ...(endpoint !== undefined && { endpoint }),
    forcePathStyle: address.forcePathStyle ?? endpoint !== undefined,
    credentials: { accessKeyId, secretAccessKey },
    // What is sent is covered by the signature, which holds its SHA-256. The checksums that the SDK would add besides
    // are refused or misunderstood by several compatibles.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Callers retry, at another provider.
    maxAttempts: 1,
    // It costs a round trip, and the SDK opens a connection of its own for each request that has it.
    expectContinueHeader: false,
    // No timeouts: they would count the wait for a connection. Callers bring a signal.
    requestHandler: { httpAgent: agent, httpsAgent: agent },
    logger: silentLogger,
    ...ownSettings,
  };
  const client = new sdk.S3Client(config);
  const state: TransportState = { isClosed: false, underWay: new Set() };
  guardTransport(client, state);
  return new BucketClient({ sdk, client, state }, address);
}

const ignore = () => {};
/** What the SDK would look for in the environment and in files of the home folder unless it is given. */
const ownSettings = {
  ignoreConfiguredEndpointUrls: true,
  defaultsMode: 'legacy',
  retryMode: 'standard',
  userAgentAppId: 'holdfast',
  useFipsEndpoint: false,
  useDualstackEndpoint: false,
  useArnRegion: false,
  disableS3ExpressSessionAuth: true,
  disableMultiregionAccessPoints: true,
  authSchemePreference: ['sigv4'],
  sigv4aSigningRegionSet: [],
} satisfies S3ClientConfig;
/** The SDK would write warnings to the console. */
const silentLogger = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };

/**
 * The objects of one bucket below one prefix. Keys are without that prefix, and plain: no characters that a URL encodes.
 * Answers are not believed further than they can be checked.
 *
 * Every call may throw a `BucketError`, or the reason of its signal.
 */
export class BucketClient {
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #state: TransportState;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(
    parts: { sdk: Sdk; client: S3Client; state: TransportState },
    address: Pick<BucketAddress, 'bucket' | 'prefix'>,
  ) {
    this.#sdk = parts.sdk;
    this.#client = parts.client;
    this.#state = parts.state;
    this.#bucket = address.bucket;
    this.#prefix = address.prefix ?? '';
  }

  /** Durable when it resolves. Returns whether the bucket keeps versions. */
  async put(key: string, body: Uint8Array, signal?: AbortSignal): Promise<{ isVersioned: boolean }> {
    const command = new this.#sdk.PutObjectCommand({ ...this.#at(key), Body: body, ContentLength: body.length });
    const { VersionId } = await this.#run(signal, (options) => this.#client.send(command, options));
    return { isVersioned: VersionId !== undefined && VersionId !== 'null' };
  }

  /** Exactly these bytes, of which there must be at least one. The buffer belongs to the caller. */
  async getRange(key: string, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const range = `bytes=${offset}-${offset + length - 1}`;
    const command = new this.#sdk.GetObjectCommand({ ...this.#at(key), Range: range });
    const output = await this.#run(signal, (options) => this.#client.send(command, options));
    const body = output.Body as Readable;
    const { ContentRange, ContentLength } = output;
    if (ContentLength !== undefined && ContentLength !== length) {
      body.destroy();
      throw new BucketError('bad-answer', `${ContentLength} bytes in answer to ${range} of ${key}`);
    }
    if (ContentRange !== undefined && !ContentRange.startsWith(`bytes ${offset}-${offset + length - 1}/`)) {
      body.destroy();
      throw new BucketError('bad-answer', `the range ${ContentRange} in answer to ${range} of ${key}`);
    }
    if (ContentRange === undefined && offset > 0) {
      body.destroy();
      throw new BucketError('bad-answer', `the object from its start in answer to ${range} of ${key}`);
    }
    const bytes = await this.#run(signal, () => readBody(body, length));
    if (bytes.length < length) throw new BucketError('unreachable', `${bytes.length} bytes of ${length} of ${key}`);
    return bytes;
  }

  /** A whole object of at most `maxBytes`. The buffer belongs to the caller. */
  async get(key: string, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    const command = new this.#sdk.GetObjectCommand(this.#at(key));
    const { Body, ContentLength } = await this.#run(signal, (options) => this.#client.send(command, options));
    const body = Body as Readable;
    if (ContentLength !== undefined && ContentLength > maxBytes) {
      body.destroy();
      throw new BucketError('bad-answer', `${key} has ${ContentLength} bytes`);
    }
    const bytes = await this.#run(signal, () => readBody(body, ContentLength ?? maxBytes));
    if (ContentLength !== undefined && bytes.length < ContentLength) {
      throw new BucketError('unreachable', `${bytes.length} bytes of ${ContentLength} of ${key}`);
    }
    return bytes;
  }

  async head(key: string, signal?: AbortSignal): Promise<BucketEntry> {
    const command = new this.#sdk.HeadObjectCommand(this.#at(key));
    try {
      const output = await this.#run(signal, (options) => this.#client.send(command, options));
      return { key, bytes: lengthOf(output.ContentLength, key), modifiedAtMs: secondOf(output.LastModified, key) };
    } catch (error) {
      if (!(error instanceof BucketError) || error.status !== 404) throw error;
      // An answer to HEAD has no body that says what is missing: the object, the bucket, or a route on the way.
      await this.getRange(key, 0, 1, signal);
      throw new BucketError('bad-answer', `${key} can be read, but HEAD says that it is missing`);
    }
  }

  /** Succeeds where there is nothing. Returns whether the bucket only hides what is deleted, and keeps it. */
  async delete(key: string, signal?: AbortSignal): Promise<{ isHidden: boolean }> {
    const command = new this.#sdk.DeleteObjectCommand(this.#at(key));
    try {
      const { DeleteMarker } = await this.#run(signal, (options) => this.#client.send(command, options));
      return { isHidden: DeleteMarker === true };
    } catch (error) {
      if (hasFault(error, 'object-missing')) return { isHidden: false };
      throw error;
    }
  }

  /** Objects below `folder`, which ends with a slash, in the order of their keys; those after the key `after`, at most `limit`. */
  async list(
    folder: string,
    page: { readonly after?: string | undefined; readonly limit: number },
    signal?: AbortSignal,
  ): Promise<{ entries: BucketEntry[]; isCut: boolean }> {
    const limit = Math.min(page.limit, maxPageKeys);
    const command = new this.#sdk.ListObjectsV2Command({
      Bucket: this.#bucket,
      Prefix: `${this.#prefix}${folder}`,
      MaxKeys: limit,
      ...(page.after !== undefined && { StartAfter: `${this.#prefix}${page.after}` }),
    });
    const { Contents, IsTruncated } = await this.#run(signal, (options) => this.#client.send(command, options));
    const entries = (Contents ?? []).map(({ Key, Size, LastModified }) => {
      const key = this.#inner(Key, folder);
      return { key, bytes: lengthOf(Size, key), modifiedAtMs: secondOf(LastModified, key) };
    });
    let last = page.after ?? '';
    for (const { key } of entries) {
      // Else the walk might never end.
      if (key <= last) throw new BucketError('bad-answer', `listed ${JSON.stringify(key)} after ${last}`);
      last = key;
    }
    if (entries.length > limit) throw new BucketError('bad-answer', `listed ${entries.length} keys, not ${limit}`);
    if (IsTruncated && entries.length === 0) {
      throw new BucketError('bad-answer', 'a page of a listing without keys, which says that there are more');
    }
    return { entries, isCut: IsTruncated === true };
  }

  async copy(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const CopySource = encodeURI(`${this.#bucket}/${this.#prefix}${from}`);
    const command = new this.#sdk.CopyObjectCommand({ ...this.#at(to), CopySource });
    const { CopyObjectResult } = await this.#run(signal, (options) => this.#client.send(command, options));
    // The status is sent before the work is done: only the result says that it was.
    if (!CopyObjectResult?.ETag) throw new BucketError('bad-answer', `a copy of ${from} without a result`);
  }

  async createUpload(key: string, signal?: AbortSignal): Promise<string> {
    const command = new this.#sdk.CreateMultipartUploadCommand(this.#at(key));
    const { UploadId } = await this.#run(signal, (options) => this.#client.send(command, options));
    if (!UploadId) throw new BucketError('bad-answer', `an upload of ${key} without an id`);
    return UploadId;
  }

  async uploadPart(
    upload: { readonly key: string; readonly uploadId: string },
    partNumber: number,
    body: Uint8Array,
    signal?: AbortSignal,
  ): Promise<CompletedPart> {
    const command = new this.#sdk.UploadPartCommand({
      ...this.#at(upload.key),
      UploadId: upload.uploadId,
      PartNumber: partNumber,
      Body: body,
      ContentLength: body.length,
    });
    const { ETag } = await this.#run(signal, (options) => this.#client.send(command, options));
    if (!ETag) throw new BucketError('bad-answer', `part ${partNumber} of ${upload.key} without an ETag`);
    return { PartNumber: partNumber, ETag };
  }

  async completeUpload(
    upload: { readonly key: string; readonly uploadId: string },
    parts: readonly CompletedPart[],
    signal?: AbortSignal,
  ): Promise<void> {
    const command = new this.#sdk.CompleteMultipartUploadCommand({
      ...this.#at(upload.key),
      UploadId: upload.uploadId,
      MultipartUpload: { Parts: [...parts] },
    });
    const { ETag } = await this.#run(signal, (options) => this.#client.send(command, options));
    if (!ETag) throw new BucketError('bad-answer', `an upload of ${upload.key} was completed without a result`);
  }

  async abortUpload(upload: { readonly key: string; readonly uploadId: string }, signal?: AbortSignal): Promise<void> {
    const command = new this.#sdk.AbortMultipartUploadCommand({ ...this.#at(upload.key), UploadId: upload.uploadId });
    await this.#run(signal, (options) => this.#client.send(command, options)).catch((error: unknown) => {
      if (!(error instanceof BucketError) || error.code !== 'NoSuchUpload') throw error;
    });
  }

  /** Uploads below `folder` that are neither completed nor aborted, in the order of their keys, those after `after`. */
  async listUploads(
    folder: string,
    page: { readonly after?: string | undefined; readonly limit: number },
    signal?: AbortSignal,
  ): Promise<{ uploads: BucketUpload[]; isCut: boolean }> {
    const command = new this.#sdk.ListMultipartUploadsCommand({
      Bucket: this.#bucket,
      Prefix: `${this.#prefix}${folder}`,
      MaxUploads: page.limit,
      ...(page.after !== undefined && { KeyMarker: `${this.#prefix}${page.after}` }),
    });
    const output = await this.#run(signal, (options) => this.#client.send(command, options));
    const uploads = (output.Uploads ?? []).map(({ Key, UploadId, Initiated }) => {
      const key = this.#inner(Key, folder);
      if (!UploadId) throw new BucketError('bad-answer', `an upload of ${key} without an id`);
      return { key, uploadId: UploadId, startedAtMs: secondOf(Initiated, key) };
    });
    if (uploads.some(({ key }) => page.after !== undefined && key <= page.after)) {
      throw new BucketError('bad-answer', `uploads that do not come after ${page.after}`);
    }
    return { uploads, isCut: output.IsTruncated === true && uploads.length > 0 };
  }

  /** Breaks off what is under way. */
  close(): void {
    this.#state.isClosed = true;
    for (const giveUp of this.#state.underWay) giveUp(closedError());
    this.#client.destroy();
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: `${this.#prefix}${key}` };
  }

  #inner(key: string | undefined, folder: string): string {
    if (!key?.startsWith(`${this.#prefix}${folder}`)) {
      throw new BucketError('bad-answer', `listed ${JSON.stringify(key)}, which is not below ${folder}`);
    }
    return key.slice(this.#prefix.length);
  }

  async #run<T>(
    signal: AbortSignal | undefined,
    work: (options: { abortSignal?: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    try {
      return await work(signal === undefined ? {} : { abortSignal: signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : toBucketError(error);
    }
  }
}

function lengthOf(bytes: number | undefined, key: string): number {
  if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new BucketError('bad-answer', `${key} has ${bytes} bytes`);
  }
  return bytes;
}

function secondOf(date: Date | undefined, key: string): number {
  const timeMs = date?.getTime();
  if (timeMs === undefined || Number.isNaN(timeMs)) throw new BucketError('bad-answer', `${key} has no time`);
  return Math.floor(timeMs / 1000) * 1000;
}

/** At most `bytes` of a body; more are an error, fewer are for the caller to judge. */
async function readBody(body: Readable, bytes: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes);
  let filled = 0;
  // Leaving the loop early destroys the body, and with it the connection.
  for await (const chunk of body as AsyncIterable<Uint8Array>) {
    if (filled + chunk.length > bytes) throw new BucketError('bad-answer', `more than ${bytes} bytes in an answer`);
    buffer.set(chunk, filled);
    filled += chunk.length;
  }
  return filled === bytes ? buffer : buffer.slice(0, filled);
}
