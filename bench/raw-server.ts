import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/**
 * What plain node:http does with the same requests, to compare with. Neither kind looks at signatures.
 *
 *     node bench/raw-server.ts null <bytes>     discards what is PUT, answers GET with so many bytes from memory
 *     node bench/raw-server.ts file <folder>    PUT: one file each, written and fsynced; GET: that file
 */
const [kind, argument = ''] = process.argv.slice(2);

/** As long as a block of Holdfast; node's default of 64 KiB would make four times as many reads. */
const readBytes = 256 * 1024;

function createNullHandler(bytes: number) {
  const body = Buffer.alloc(bytes, 'x');
  return (request: IncomingMessage, response: ServerResponse): void => {
    if (request.method === 'GET') response.end(body);
    else request.resume().on('end', () => response.end());
  };
}

function createFileHandler(folder: string) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = join(folder, encodeURIComponent(request.url ?? ''));
    try {
      if (request.method === 'GET') {
        const { size } = await stat(path);
        response.setHeader('content-length', size);
        await pipeline(createReadStream(path, { highWaterMark: readBytes }), response);
      } else {
        await pipeline(request, createWriteStream(path, { flush: true }));
        response.end();
      }
    } catch (error) {
      response.destroy(error as Error);
    }
  };
}

const server = createServer(kind === 'null' ? createNullHandler(Number(argument)) : createFileHandler(argument));
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
