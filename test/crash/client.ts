import assert from 'node:assert/strict';
import { md5Hex } from '../harness/pattern-bytes.ts';
import type { SignedAnswer, SignedFetch } from '../harness/signed-fetch.ts';
import type { Value } from './ledger.ts';
import { type KnownUpload, renderParts } from './upload-ledger.ts';

export const plainBucket = 'crash-plain';
export const versionedBucket = 'crash-versioned';

/** The requests that the load makes and the checks that it needs, each with the answers that may come. */
export class Client {
  readonly #fetch: SignedFetch;

  constructor(fetch: SignedFetch) {
    this.#fetch = fetch;
  }

  async createBuckets(): Promise<void> {
    for (const bucket of [plainBucket, versionedBucket]) await this.#send('PUT', `/${bucket}`);
    const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
    await this.#send('PUT', `/${versionedBucket}?versioning`, { body });
  }

  /** @returns the version's id where the bucket has versions */
  async put(bucket: string, key: string, { bytes, etag }: Value): Promise<string | undefined> {
    const answer = await this.#send('PUT', `/${bucket}/${key}`, { body: bytes });
    assert.equal(bareETag(answer), etag);
    return answer.headers.get('x-amz-version-id') ?? undefined;
  }

  /** @returns the ETag of the copy; undefined where there was no source */
  async copy(source: string, key: string): Promise<string | undefined> {
    const headers = { 'x-amz-copy-source': `/${plainBucket}/${source}`, 'x-amz-metadata-directive': 'REPLACE' };
    const answer = await this.#send('PUT', `/${plainBucket}/${key}`, { headers }, 404);
    return answer.status === 404
      ? undefined
      : findTexts(answer.text, 'ETag')[0]?.replaceAll('&quot;', '').replaceAll('"', '');
  }

  /** @returns the id of the delete marker where the bucket has versions */
  async remove(bucket: string, key: string, versionId?: string): Promise<string | undefined> {
    const query = versionId === undefined ? '' : `?versionId=${versionId}`;
    const answer = await this.#send('DELETE', `/${bucket}/${key}${query}`);
    return answer.headers.get('x-amz-version-id') ?? undefined;
  }

  async removeMany(keys: readonly string[]): Promise<void> {
    const body = `<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`;
    const headers = { 'content-md5': Buffer.from(md5Hex(body), 'hex').toString('base64') };
    const answer = await this.#send('POST', `/${plainBucket}?delete`, { body, headers });
    assert.equal(findTexts(answer.text, 'Code').length, 0, answer.text);
    assert.deepEqual(new Set(findTexts(answer.text, 'Key')), new Set(keys));
  }

  /** The bytes and ETag of an object, or undefined where there is none. */
  async get(bucket: string, key: string, versionId?: string): Promise<Value | undefined> {
    const query = versionId === undefined ? '' : `?versionId=${versionId}`;
    const answer = await this.#send('GET', `/${bucket}/${key}${query}`, {}, 404);
    if (answer.status === 404) return undefined;
    assert.equal(Number(answer.headers.get('content-length')), answer.body.length);
    return { bytes: answer.body, etag: bareETag(answer) };
  }

  async head(bucket: string, key: string): Promise<{ etag: string; sizeBytes: number } | undefined> {
    const answer = await this.#send('HEAD', `/${bucket}/${key}`, {}, 404);
    if (answer.status === 404) return undefined;
    return { etag: bareETag(answer), sizeBytes: Number(answer.headers.get('content-length')) };
  }

  async createUpload(key: string): Promise<string> {
    const { text } = await this.#send('POST', `/${plainBucket}/${key}?uploads`);
    return findTexts(text, 'UploadId')[0]!;
  }

  async putPart(upload: KnownUpload, partNumber: number, { bytes, etag }: Value): Promise<void> {
    const answer = await this.#send('PUT', this.#pathOf(upload, `partNumber=${partNumber}&`), { body: bytes });
    assert.equal(bareETag(answer), etag);
  }

  async copyPart(upload: KnownUpload, partNumber: number, source: string, { bytes, etag }: Value): Promise<void> {
    const headers = {
      'x-amz-copy-source': `/${plainBucket}/${source}`,
      'x-amz-copy-source-range': `bytes=0-${bytes.length - 1}`,
    };
    const answer = await this.#send('PUT', this.#pathOf(upload, `partNumber=${partNumber}&`), { headers });
    assert.ok(answer.text.includes(etag), answer.text);
  }

  async complete(upload: KnownUpload, partNumbers: readonly number[], { etag }: Value): Promise<void> {
    const answer = await this.#send('POST', this.#pathOf(upload), { body: renderParts(upload, partNumbers) });
    // The status line may come before the outcome is known.
    assert.ok(answer.text.includes(etag) && !answer.text.includes('<Error>'), answer.text);
  }

  async abort(upload: KnownUpload): Promise<void> {
    await this.#send('DELETE', this.#pathOf(upload));
  }

  /** The ETags of an upload's parts by number, or undefined where there is no such upload. */
  async listParts(upload: KnownUpload): Promise<Map<number, string> | undefined> {
    const answer = await this.#send('GET', this.#pathOf(upload), {}, 404);
    if (answer.status === 404) return undefined;
    const parts = answer.text.matchAll(/<PartNumber>(\d+)<\/PartNumber>.*?<ETag>&?[^0-9a-f]*([0-9a-f-]+)/g);
    return new Map(Array.from(parts, ([, number, etag]) => [Number(number), etag!]));
  }

  /** All objects of the bucket without versions, in pages so small that there are several. */
  async list(): Promise<Map<string, { etag: string; sizeBytes: number }>> {
    const listed = new Map<string, { etag: string; sizeBytes: number }>();
    let token: string | undefined;
    do {
      const rest = token === undefined ? '' : `&continuation-token=${encodeURIComponent(token)}`;
      const { text } = await this.#send('GET', `/${plainBucket}?list-type=2&max-keys=7${rest}`);
      for (const [, entry] of text.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
        const key = findTexts(entry!, 'Key')[0]!;
        assert.ok(!listed.has(key), `${key} is listed twice`);
        const etag = findTexts(entry!, 'ETag')[0]!.replaceAll(/&quot;|"/g, '');
        listed.set(key, { etag, sizeBytes: Number(findTexts(entry!, 'Size')[0]) });
      }
      token = findTexts(text, 'NextContinuationToken')[0];
    } while (token !== undefined);
    return listed;
  }

  /** The versions of all keys of the other bucket, the newest first. */
  async listVersions(): Promise<Map<string, Map<string, { isMarker: boolean; etag: string | undefined }>>> {
    const listed = new Map<string, Map<string, { isMarker: boolean; etag: string | undefined }>>();
    let markers = '';
    do {
      const { text } = await this.#send('GET', `/${versionedBucket}?versions&max-keys=20${markers}`);
      for (const [, kind, entry] of text.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs)) {
        const [key] = findTexts(entry!, 'Key');
        const [versionId] = findTexts(entry!, 'VersionId');
        const versions = listed.get(key!) ?? new Map();
        listed.set(key!, versions);
        const etag = findTexts(entry!, 'ETag')[0]?.replaceAll(/&quot;|"/g, '');
        versions.set(versionId!, { isMarker: kind === 'DeleteMarker', etag });
      }
      const [key] = findTexts(text, 'NextKeyMarker');
      const [versionId] = findTexts(text, 'NextVersionIdMarker');
      markers = key === undefined ? '' : `&key-marker=${key}&version-id-marker=${versionId}`;
    } while (markers !== '');
    return listed;
  }

  async #send(
    method: string,
    path: string,
    options: Parameters<SignedFetch>[2] = {},
    otherStatus?: number,
  ): Promise<SignedAnswer> {
    const answer = await this.#fetch(method, path, options);
    if (answer.status >= 300 && answer.status !== otherStatus) {
      throw new UnexpectedAnswer(`${method} ${path}: ${answer.status} ${answer.text}`);
    }
    return answer;
  }

  #pathOf({ key, uploadId }: KnownUpload, query = ''): string {
    return `/${plainBucket}/${key}?${query}uploadId=${uploadId}`;
  }
}

/** The server answered, but with what it must not say to a right request on healthy disks. */
export class UnexpectedAnswer extends Error {}

function bareETag({ headers }: SignedAnswer): string {
  return headers.get('etag')?.replaceAll('"', '') ?? '';
}

function findTexts(xml: string, name: string): string[] {
  return Array.from(xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g')), ([, text]) => text!);
}
