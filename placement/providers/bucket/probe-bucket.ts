import { randomBytes } from 'node:crypto';
import type { ProviderId } from '../../../core/model.ts';
import { type BucketAddress, type BucketClient, openBucketClient } from './bucket-client.ts';
import { BucketError, hasFault } from './bucket-error.ts';
import { readBucketMarker } from './bucket-marker.ts';

/** What a bucket must be able to do to keep shards, in the order in which it is tried. */
export const bucketCapabilities = [
  'put',
  'owner',
  'head',
  'get-range',
  'list',
  'copy',
  'multipart',
  'list-uploads',
  'delete',
] as const;
export type BucketCapability = (typeof bucketCapabilities)[number];

export interface ProbeFinding {
  readonly capability: BucketCapability;
  /** `warning`: shards can be kept, but at a price that the sentence names. */
  readonly outcome: 'good' | 'warning' | 'bad';
  /** What is wrong and what to change; empty where it is good. Holds no secrets. */
  readonly sentence: string;
}

export interface BucketProbe {
  /** Whether the bucket can be a provider. */
  readonly isUsable: boolean;
  /** Of the capabilities that were tried: where nothing can be put, the rest is not. */
  readonly findings: readonly ProbeFinding[];
}

const probeBytes = 1000;

/**
 * Tries all that a provider asks of a bucket, with small objects below `<prefix>probe/` that it removes. For an operator
 * who adds a provider: a gateway starts without it.
 *
 * @throws Error for an endpoint that is no URL; the signal's reason. What the endpoint does wrong is in the findings.
 */
export async function probeBucket(
  address: BucketAddress & { readonly id?: ProviderId },
  signal?: AbortSignal,
): Promise<BucketProbe> {
  const client = await openBucketClient(address);
  try {
    const findings = await new Prober(client, address, signal).run();
    return { isUsable: findings.every(({ outcome }) => outcome !== 'bad'), findings };
  } finally {
    client.close();
  }
}

class Prober {
  readonly #client: BucketClient;
  readonly #address: BucketAddress & { readonly id?: ProviderId };
  readonly #signal: AbortSignal | undefined;
  readonly #key = `probe/${randomBytes(8).toString('hex')}`;
  readonly #bytes = randomBytes(probeBytes);
  readonly #findings: ProbeFinding[] = [];
  /** What is to be removed at the end, also when a step failed in the middle. */
  readonly #made = new Set<string>();
  #isVersioned = false;

  constructor(
    client: BucketClient,
    address: BucketAddress & { readonly id?: ProviderId },
    signal: AbortSignal | undefined,
  ) {
    this.#client = client;
    this.#address = address;
    this.#signal = signal;
  }

  async run(): Promise<readonly ProbeFinding[]> {
    if (!(await this.#try('put', () => this.#put()))) return this.#findings;
    await this.#try('owner', () => this.#checkOwner());
    await this.#try('head', () => this.#head(this.#key, probeBytes));
    await this.#try('get-range', () => this.#getRange());
    await this.#try('list', () => this.#list());
    await this.#try('copy', () => this.#copy());
    await this.#try('multipart', () => this.#upload());
    await this.#try('list-uploads', () => this.#listUploads());
    await this.#try('delete', () => this.#delete());
    return this.#findings;
  }

  /** @param work returns a warning, or nothing */
  async #try(capability: BucketCapability, work: () => Promise<string | undefined>): Promise<boolean> {
    try {
      const warning = await work();
      this.#findings.push({ capability, outcome: warning ? 'warning' : 'good', sentence: warning ?? '' });
      return true;
    } catch (error) {
      if (this.#signal?.aborted) throw this.#signal.reason;
      this.#findings.push({ capability, outcome: 'bad', sentence: explainFault(capability, error, this.#address) });
      return false;
    }
  }

  async #put(): Promise<undefined> {
    this.#made.add(this.#key);
    this.#isVersioned = (await this.#client.put(this.#key, this.#bytes, this.#signal)).isVersioned;
  }

  async #checkOwner(): Promise<undefined> {
    const { id } = this.#address;
    const owner = await readBucketMarker(this.#client, this.#signal);
    if (id !== undefined && owner !== undefined && owner !== id) {
      throw new Error(
        `the prefix belongs to the provider ${owner}, not to ${id}; give each provider a prefix of its own`,
      );
    }
  }

  async #head(key: string, expectedBytes: number): Promise<undefined> {
    const { bytes } = await this.#client.head(key, this.#signal);
    if (bytes !== expectedBytes) throw new Error(`an object of ${expectedBytes} bytes is said to have ${bytes}`);
  }

  async #getRange(): Promise<undefined> {
    const read = await this.#client.getRange(this.#key, 100, 50, this.#signal);
    if (!this.#bytes.subarray(100, 150).equals(read)) throw new Error('a range came back with other bytes');
  }

  async #list(): Promise<undefined> {
    const found = await this.#client.list('probe/', { after: this.#key.slice(0, -1), limit: 10 }, this.#signal);
    if (!found.entries.some(({ key }) => key === this.#key))
      throw new Error('an object that was just put is not listed');
    const rest = await this.#client.list('probe/', { after: this.#key, limit: 10 }, this.#signal);
    if (rest.entries.some(({ key }) => key <= this.#key)) throw new Error('start-after is ignored');
  }

  async #copy(): Promise<undefined> {
    const to = `${this.#key}-copy`;
    this.#made.add(to);
    await this.#client.copy(this.#key, to, this.#signal);
    await this.#head(to, probeBytes);
  }

  async #upload(): Promise<undefined> {
    const key = `${this.#key}-upload`;
    const upload = { key, uploadId: await this.#client.createUpload(key, this.#signal) };
    try {
      const part = await this.#client.uploadPart(upload, 1, this.#bytes, this.#signal);
      this.#made.add(key);
      await this.#client.completeUpload(upload, [part], this.#signal);
    } catch (error) {
      await this.#client.abortUpload(upload, this.#signal).catch(() => {});
      throw error;
    }
    await this.#head(key, probeBytes);
  }

  /** Without it shards can be kept all the same. */
  async #listUploads(): Promise<string | undefined> {
    const key = `${this.#key}-abort`;
    const upload = { key, uploadId: await this.#client.createUpload(key, this.#signal) };
    let isListed: boolean;
    try {
      const { uploads } = await this.#client.listUploads('probe/', { limit: 100 }, this.#signal);
      isListed = uploads.some(({ uploadId }) => uploadId === upload.uploadId);
    } catch (error) {
      if (this.#signal?.aborted || !(error instanceof BucketError)) throw error;
      isListed = false;
    } finally {
      await this.#client.abortUpload(upload, this.#signal);
    }
    if (isListed) return undefined;
    return `${nameOf(this.#address)} does not list uploads by prefix, so those that were never completed cannot be found; let the endpoint abort them by itself after a day or more.`;
  }

  async #delete(): Promise<string | undefined> {
    let isHidden = false;
    for (const key of this.#made) {
      isHidden = (await this.#client.delete(key, this.#signal)).isHidden || isHidden;
    }
    try {
      await this.#client.head(this.#key, this.#signal);
    } catch (error) {
      if (!hasFault(error, 'object-missing')) throw error;
      if (!isHidden && !this.#isVersioned) return undefined;
      return `${nameOf(this.#address)} keeps old versions: what is deleted goes on to take space. Switch versioning off, or let a lifecycle rule remove old versions.`;
    }
    throw new Error('an object can still be seen after it was deleted');
  }
}

/** One sentence, or two, that name the endpoint, what does not work, and what to change. */
export function explainFault(capability: BucketCapability, error: unknown, address: BucketAddress): string {
  const where = nameOf(address);
  if (!(error instanceof BucketError)) {
    return `${where} cannot keep shards (${capability}): ${error instanceof Error ? error.message : String(error)}.`;
  }
  const said = `It said: ${error.message}`;
  switch (error.fault) {
    case 'unreachable':
      return `${where} cannot be reached, or breaks off: check the endpoint's address, port and certificate. ${said}`;
    case 'redirected':
      return error.region === undefined
        ? `${where} sends us elsewhere: the region ${address.region} or the endpoint is not that of the bucket. ${said}`
        : `${where} says that the bucket is in the region ${error.region}, not in ${address.region}: set region to ${error.region}. ${said}`;
    case 'bucket-missing':
      return address.forcePathStyle === false
        ? `${where} knows no such bucket: create it, or set forcePathStyle if the endpoint has no host name for each bucket. ${said}`
        : `${where} knows no such bucket: create it, or set forcePathStyle to false if the endpoint wants the bucket in the host name. ${said}`;
    case 'denied':
      return error.code === 'SignatureDoesNotMatch' || error.code === 'InvalidAccessKeyId'
        ? `${where} does not accept the access key ${address.accessKeyId}: check it and its secret. ${said}`
        : `${where} does not permit ${permissionOf[capability]} to the access key ${address.accessKeyId}: allow it on the bucket and the prefix. ${said}`;
    case 'clock':
      return `${where} has another time than this machine: set the clocks, by NTP. ${said}`;
    case 'full':
      return `${where} has no space, or a quota is reached: raise it. ${said}`;
    case 'throttled':
      return `${where} wants fewer requests: try again later, or raise its limit. ${said}`;
    case 'unsupported':
      return `${where} does not know ${permissionOf[capability]}, without which it cannot keep shards. ${said}`;
    case 'object-missing':
      return `${where} does not show an object that was just written (${capability}): the bucket is not consistent, or something in between caches. ${said}`;
    default:
      return /checksum|digest|sha256|crc32|x-amz-content|trailer/i.test(error.message)
        ? `${where} refuses a checksum or a signed payload (${capability}): is there a proxy that changes requests? ${said}`
        : `${where} answers ${capability} in a way that cannot be used. ${said}`;
  }
}

const permissionOf: Readonly<Record<BucketCapability, string>> = {
  put: 's3:PutObject',
  owner: 's3:GetObject and s3:ListBucket',
  head: 's3:GetObject and s3:ListBucket',
  'get-range': 's3:GetObject',
  list: 's3:ListBucket',
  copy: 's3:PutObject and s3:GetObject (CopyObject)',
  multipart: 's3:PutObject and s3:AbortMultipartUpload (uploads in parts)',
  'list-uploads': 's3:ListBucketMultipartUploads',
  delete: 's3:DeleteObject',
};

function nameOf({ endpoint, region, bucket }: BucketAddress): string {
  return `The bucket ${bucket} at ${endpoint ?? `AWS (${region})`}`;
}
