import { join } from 'node:path';
import { closeFile, openFile } from '../durable-files.ts';
import { segmentFileName } from './segment-format.ts';

/** A segment that is open for reading. */
interface OpenSegment {
  readonly fd: Promise<number>;
  users: number;
  isRetired: boolean;
}

/** Segments open for reading: a bounded number of them, least recently used first, and none is closed under a read. */
export class SegmentFiles {
  readonly #folder: string;
  readonly #maxOpen: number;
  readonly #open = new Map<number, OpenSegment>();

  constructor(parts: { folder: string; maxOpen: number }) {
    this.#folder = parts.folder;
    this.#maxOpen = parts.maxOpen;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Lets `work` use the segment's descriptor. @throws what open(2) does, and what `work` throws */
  async use<T>(number: number, work: (fd: number) => Promise<T>): Promise<T> {
    const segment = this.#acquire(number);
    try {
      return await work(await segment.fd);
    } finally {
      segment.users--;
      if (segment.isRetired && segment.users === 0) closeSegment(segment);
    }
  }

  /** The segment is gone, or may be another file by now; reads that are under way end as they began. */
  retire(number: number): void {
    const segment = this.#open.get(number);
    if (segment === undefined) return;
    this.#open.delete(number);
    segment.isRetired = true;
    if (segment.users === 0) closeSegment(segment);
  }

  close(): void {
    for (const number of [...this.#open.keys()]) this.retire(number);
  }

  #acquire(number: number): OpenSegment {
    let segment = this.#open.get(number);
    if (segment === undefined) {
      const fd = openFile(join(this.#folder, segmentFileName(number)), 'r');
      const opened: OpenSegment = { fd, users: 1, isRetired: false };
      segment = opened;
      this.#open.set(number, opened);
      fd.catch(() => {
        if (this.#open.get(number) === opened) this.retire(number);
      });
      this.#evict();
    } else {
      segment.users++;
      // Last in the map is most recently used.
      this.#open.delete(number);
      this.#open.set(number, segment);
    }
    return segment;
  }

  #evict(): void {
    for (const number of this.#open.keys()) {
      if (this.#open.size <= this.#maxOpen) return;
      this.retire(number);
    }
  }
}

function closeSegment(segment: OpenSegment): void {
  segment.fd.then(closeFile, () => {});
}
