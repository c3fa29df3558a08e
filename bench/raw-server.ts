import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { renderCannedPage } from './canned-page.ts';

/**
 * What plain node:http does with the same requests, to compare with. No kind looks at signatures.
 *
 *     node bench/raw-server.ts null <bytes>     discards what is PUT; answers GET with so many bytes from memory, or the range of
 *                                               them that is asked for, and a listing with a page that is made once
 *     node bench/raw-server.ts md5 <bytes>      the same, and answers a PUT with the MD5 of its body
 *     node bench/raw-server.ts file <folder>    PUT: one file each, written and fsynced; GET: that file
 */
const [kind, argument = ''] = process.argv.slice(2);

/** As long as a block of Holdfast; node's default of 64 KiB would make four times as many reads. */
const readBytes = 256 * 1024;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function createNullHandler(bytes: number, isDigesting: boolean): Handler {
  const body = Buffer.alloc(bytes, 'x');
  const pages = new Map<number, string>();
  const answerGet = (request: IncomingMessage, response: ServerResponse): void => {
    const maxKeys = /[?&]max-keys=(\d+)/.exec(request.url ?? '')?.[1];
    if (maxKeys !== undefined) {
      const page = pages.get(Number(maxKeys)) ?? renderCannedPage(Number(maxKeys));
      pages.set(Number(maxKeys), page);
      response.end(page);
      return;
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (first === undefined) response.end(body);
    else response.writeHead(206).end(body.subarray(Number(first), Number(last) + 1));
  };
  return (request, response) => {
    if (request.method === 'GET') answerGet(request, response);
    else if (request.method === 'DELETE') response.writeHead(204).end();
    else if (isDigesting) {
      const digest = createHash('md5');
      request
        .on('data', (chunk: Buffer) => digest.update(chunk))
        .on('end', () => response.setHeader('etag', `"${digest.digest('hex')}"`).end());
    } else request.resume().on('end', () => response.end());
  };
}

function createFileHandler(folder: string): Handler {
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = join(folder, encodeURIComponent(request.url ?? ''));
    if (request.method === 'GET') {
      const { size } = await stat(path);
      response.setHeader('content-length', size);
      await pipeline(createReadStream(path, { highWaterMark: readBytes }), response);
    } else {
      await pipeline(request, createWriteStream(path, { flush: true }));
      response.end();
    }
  };
  return (request, response) => {
    serve(request, response).catch((error: Error) => response.destroy(error));
  };
}

const handler = kind === 'file' ? createFileHandler(argument) : createNullHandler(Number(argument), kind === 'md5');
const server = createServer(handler);
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
