import { closeSync, fdatasync, fsyncSync, openSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * What six files on this disk can bear, without HTTP, signatures, digests, coding and metadata: objects are written as packed
 * stripes of 4+2 would be. What comes while a flush is under way is gathered and goes out with the next one; a group of
 * objects fills up to four data files and both parity files, with one write and one flush for each file that is touched.
 *
 *     node bench/raw-appends.ts <folder>     with an IPC channel: { clients, bytes, durationMs } in, a LoadResult out
 */
const [folder = '.'] = process.argv.slice(2);
const dataFiles = 4;
const parityFiles = 2;
/** Header, footer and name of a shard, and the record around it. */
const overheadBytes = 256;
/** Files are zeroed ahead, which is the quickest way to append, and begun anew when they are full. */
const fileBytes = 64 * 1024 * 1024;

const writeFile = promisify(write);
const syncFile = promisify(fdatasync);

interface Order {
  readonly clients: number;
  readonly bytes: number;
  readonly durationMs: number;
}

class AppendedFile {
  readonly #fd: number;
  #end = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'w');
    const zeros = Buffer.alloc(1024 * 1024);
    for (let at = 0; at < fileBytes; at += zeros.length) writeSync(this.#fd, zeros);
    fsyncSync(this.#fd);
  }

  async append(bytes: Buffer): Promise<void> {
    if (this.#end + bytes.length > fileBytes) this.#end = 0;
    const at = this.#end;
    this.#end += bytes.length;
    await writeFile(this.#fd, bytes, 0, bytes.length, at);
    await syncFile(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

const files = Array.from({ length: dataFiles + parityFiles }, (_, index) => new AppendedFile(join(folder, `${index}`)));
let waiting: (() => void)[] = [];
let isFlushing = false;

function put(bytes: number): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (isFlushing) return;
    isFlushing = true;
    setImmediate(flushAll, bytes);
  });
}

async function flushAll(bytes: number): Promise<void> {
  while (waiting.length > 0) {
    const group = waiting;
    waiting = [];
    await appendGroup(group.length, bytes);
    for (const resolve of group) resolve();
    // Whoever was answered may come again before the next group is closed.
    await new Promise((resolve) => setImmediate(resolve));
  }
  isFlushing = false;
}

/** What is written; longer than the largest shard of a group. */
const filler = Buffer.alloc(4 * 1024 * 1024, 'x');

async function appendGroup(count: number, bytes: number): Promise<void> {
  const width = Math.min(count, dataFiles);
  const shardBytes = Math.ceil(count / width) * bytes + overheadBytes;
  const touched = [...files.slice(0, width), ...files.slice(dataFiles)];
  await Promise.all(touched.map((file) => file.append(filler.subarray(0, shardBytes))));
}

async function run({ clients, bytes, durationMs }: Order): Promise<void> {
  const latenciesMs: number[] = [];
  const startedAtMs = performance.now();
  const client = async (): Promise<void> => {
    do {
      const sentAtMs = performance.now();
      await put(bytes);
      latenciesMs.push(performance.now() - sentAtMs);
    } while (performance.now() - startedAtMs < durationMs);
  };
  await Promise.all(Array.from({ length: clients }, client));
  const seconds = (performance.now() - startedAtMs) / 1000;
  process.send?.({
    requests: latenciesMs.length,
    bytes: latenciesMs.length * bytes,
    refusals: 0,
    seconds,
    latenciesMs,
  });
}

process.on('message', (order: Order) => void run(order));
process.on('disconnect', () => process.exit(1));
process.on('SIGTERM', () => {
  for (const file of files) file.close();
  process.exit(0);
});
process.send?.('ready');
