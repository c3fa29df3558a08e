import { LRUCache } from 'lru-cache';
import type { Bucket, Version } from '../../core/model.ts';

/** So many current versions are kept, decoded: some 4 MiB. */
const maxVersions = 4096;
/** What is longer than this, such as an object of many parts, is not kept. */
const maxRowBytes = 4096;

/**
 * The current versions of keys that were looked at lately: what GET and HEAD of a hot object ask for. Every write to a key
 * makes the cache forget it, whether or not the write is undone afterwards.
 */
export class VersionCache {
  /** Made when the first is kept: it takes its room at once, and most stores that are opened only for a while never need it. */
  #versions: LRUCache<string, Version> | undefined;

  find(bucket: Bucket, key: string): Version | undefined {
    return this.#versions?.get(nameOf(bucket, key));
  }

  /** @param rowBytes about how long the version's row is */
  keep(bucket: Bucket, version: Version, rowBytes: number): void {
    if (rowBytes > maxRowBytes) return;
    this.#versions ??= new LRUCache({ max: maxVersions });
    this.#versions.set(nameOf(bucket, version.key), version);
  }

  forget(bucket: Bucket, key: string): void {
    this.#versions?.delete(nameOf(bucket, key));
  }

  clear(): void {
    this.#versions?.clear();
  }
}

function nameOf(bucket: Bucket, key: string): string {
  return `${bucket.id}/${key}`;
}
