import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as the stub sees it, with its body. */
export interface StubRequest {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/**
 * Answers a request in the stub's place: true when it did, or means never to. What an endpoint in trouble, or a
 * dishonest one, may do.
 */
export type StubFault = (request: StubRequest, response: ServerResponse) => boolean;

interface StoredObject {
  readonly body: Buffer;
  readonly modifiedAt: Date;
}
interface StubUpload {
  readonly key: string;
  readonly startedAt: Date;
  readonly parts: Map<number, Buffer>;
}

/** A small S3 endpoint in memory, which believes every signature and does what it is told to do wrong. */
export interface StubS3 {
  readonly url: string;
  readonly objects: Map<string, StoredObject>;
  readonly uploads: Map<string, StubUpload>;
  readonly requests: StubRequest[];
  fault: StubFault | undefined;
  /** Connections that were opened so far. */
  countConnections(): number;
  /** Closes the connections that no request uses. */
  dropIdle(): void;
  close(): Promise<void>;
}

export async function startStubS3(): Promise<StubS3> {
  const store = new StubStore();
  let connections = 0;
  const server = createServer((incoming, response) => {
    void readRequest(incoming).then((request) => {
      stub.requests.push(request);
      if (!stub.fault?.(request, response)) send(response, store.answer(request));
    }, ignore);
  });
  server.on('connection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stub: StubS3 = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects: store.objects,
    uploads: store.uploads,
    requests: [],
    fault: undefined,
    countConnections: () => connections,
    dropIdle: () => server.closeIdleConnections(),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
  return stub;
}

async function readRequest(incoming: IncomingMessage): Promise<StubRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const url = new URL(incoming.url ?? '/', 'http://stub');
  const [, , ...key] = url.pathname.split('/');
  return {
    method: incoming.method ?? '',
    key: decodeURIComponent(key.join('/')),
    query: url.searchParams,
    headers: incoming.headers,
    body: Buffer.concat(chunks),
  };
}

export function sendError(
  response: ServerResponse,
  status: number,
  code: string,
  message = 'as told',
  more = '',
): void {
  send(response, error(status, code, message, more));
}

export function sendXml(response: ServerResponse, xml: string): void {
  send(response, { body: xml });
}

interface StubAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: string | Buffer;
}

function send(response: ServerResponse, { status = 200, headers = {}, body }: StubAnswer): void {
  response.writeHead(status, headers).end(body);
}

function error(status: number, code: string, message = '', more = ''): StubAnswer {
  return { status, body: `<Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>` };
}

class StubStore {
  readonly objects: StubS3['objects'] = new Map();
  readonly uploads: StubS3['uploads'] = new Map();

  answer(request: StubRequest): StubAnswer {
    const { method, key, query, headers } = request;
    if (key === '') return { body: query.has('uploads') ? this.#listUploads(query) : this.#listObjects(query) };
    if (method === 'POST' && query.has('uploads')) return this.#createUpload(key);
    const uploadId = query.get('uploadId');
    if (uploadId !== null) return this.#doUpload(request, uploadId);
    if (method === 'PUT') {
      const source = headers['x-amz-copy-source'];
      return typeof source === 'string'
        ? this.#copy(source, key)
        : { headers: { etag: this.#store(key, request.body) } };
    }
    if (method === 'DELETE') {
      this.objects.delete(key);
      return { status: 204 };
    }
    const object = this.objects.get(key);
    if (object === undefined) return method === 'HEAD' ? { status: 404 } : error(404, 'NoSuchKey');
    return method === 'HEAD' ? headOf(object) : readObject(object, headers.range);
  }

  #store(key: string, body: Buffer): string {
    this.objects.set(key, { body, modifiedAt: new Date() });
    return `"${createHash('md5').update(body).digest('hex')}"`;
  }

  #copy(source: string, key: string): StubAnswer {
    const found = this.objects.get(decodeURIComponent(source).split('/').slice(1).join('/'));
    if (found === undefined) return error(404, 'NoSuchKey');
    return { body: `<CopyObjectResult><ETag>${this.#store(key, found.body)}</ETag></CopyObjectResult>` };
  }

  #createUpload(key: string): StubAnswer {
    const id = `upload-${this.uploads.size}-${key.slice(-4)}`;
    this.uploads.set(id, { key, startedAt: new Date(), parts: new Map() });
    return { body: `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>` };
  }

  #doUpload({ method, key, query, body }: StubRequest, uploadId: string): StubAnswer {
    const upload = this.uploads.get(uploadId);
    if (upload === undefined) return error(404, 'NoSuchUpload');
    if (method === 'PUT') {
      upload.parts.set(Number(query.get('partNumber')), body);
      return { headers: { etag: '"part"' } };
    }
    this.uploads.delete(uploadId);
    if (method === 'DELETE') return { status: 204 };
    const parts = [...upload.parts].sort(([a], [b]) => a - b).map(([, part]) => part);
    const etag = this.#store(key, Buffer.concat(parts));
    return { body: `<CompleteMultipartUploadResult><ETag>${etag}</ETag></CompleteMultipartUploadResult>` };
  }

  #listObjects(query: URLSearchParams): string {
    const after = query.get('start-after') ?? '';
    const all = [...this.objects].filter(([key]) => key.startsWith(query.get('prefix') ?? '') && key > after).sort();
    const page = all.slice(0, Number(query.get('max-keys') ?? 1000));
    const contents = page.map(
      ([key, { body, modifiedAt }]) =>
        `<Contents><Key>${key}</Key><Size>${body.length}</Size><LastModified>${modifiedAt.toISOString()}</LastModified></Contents>`,
    );
    return `<ListBucketResult><IsTruncated>${page.length < all.length}</IsTruncated>${contents.join('')}</ListBucketResult>`;
  }

  #listUploads(query: URLSearchParams): string {
    const after = query.get('key-marker') ?? '';
    const all = [...this.uploads]
      .filter(([, { key }]) => key.startsWith(query.get('prefix') ?? '') && key > after)
      .sort(([, a], [, b]) => (a.key < b.key ? -1 : 1));
    const page = all.slice(0, Number(query.get('max-uploads') ?? 1000));
    const items = page.map(
      ([id, { key, startedAt }]) =>
        `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${startedAt.toISOString()}</Initiated></Upload>`,
    );
    return `<ListMultipartUploadsResult><IsTruncated>${page.length < all.length}</IsTruncated>${items.join('')}</ListMultipartUploadsResult>`;
  }
}

function headOf({ body, modifiedAt }: StoredObject): StubAnswer {
  return { headers: { 'last-modified': modifiedAt.toUTCString(), 'content-length': body.length } };
}

function readObject({ body, modifiedAt }: StoredObject, range: string | undefined): StubAnswer {
  const headers = { 'last-modified': modifiedAt.toUTCString() };
  const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  if (match === null) return { headers, body };
  const [start, end] = [Number(match[1]), Math.min(Number(match[2]), body.length - 1)];
  if (start >= body.length) return error(416, 'InvalidRange');
  return {
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${start}-${end}/${body.length}` },
    body: body.subarray(start, end + 1),
  };
}

function ignore(): void {}
