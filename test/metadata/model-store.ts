import type { VersioningState } from '../../core/model.ts';

/** A version as the model keeps it. Stripes are names. */
export interface ModelVersion {
  readonly key: string;
  readonly versionId: string;
  readonly isMarker: boolean;
  readonly etag: string;
  readonly stripes: readonly string[];
}

export interface ModelPart {
  readonly etag: string;
  readonly stripes: readonly string[];
}

export interface ModelUpload {
  readonly uploadId: string;
  readonly key: string;
  readonly parts: Map<number, ModelPart>;
}

export interface ModelQuery {
  readonly prefix: string;
  readonly delimiter: string;
  readonly limit: number;
}

/** One bucket as a plain list: what a metadata store must come to, computed without any index. */
export class ModelStore {
  versioning: VersioningState = 'unversioned';
  profileName: string | undefined;
  /** Of all keys, each newest first. */
  versions: ModelVersion[] = [];
  uploads: ModelUpload[] = [];

  versionsOf(key: string): ModelVersion[] {
    return this.versions.filter((version) => version.key === key);
  }

  latest(key: string): ModelVersion | undefined {
    return this.versionsOf(key)[0];
  }

  find(key: string, versionId: string): ModelVersion | undefined {
    return this.versionsOf(key).find((version) => version.versionId === versionId);
  }

  /** Adds a version or delete marker by the rules of the bucket. */
  add(version: ModelVersion): void {
    if (this.versioning !== 'enabled') this.remove(version.key, 'null');
    this.versions.unshift(version);
  }

  remove(key: string, versionId: string): void {
    this.versions = this.versions.filter((version) => version.key !== key || version.versionId !== versionId);
  }

  /** The stripes that any version or part refers to. */
  liveStripes(): Set<string> {
    const parts = this.uploads.flatMap((upload) => [...upload.parts.values()]);
    return new Set([...this.versions, ...parts].flatMap(({ stripes }) => stripes));
  }

  /** How many bytes of each stripe are referred to, when each mention is of 4,096. */
  liveBytes(): Map<string, number> {
    const bytes = new Map<string, number>();
    const parts = this.uploads.flatMap((upload) => [...upload.parts.values()]);
    for (const { stripes } of [...this.versions, ...parts]) {
      for (const stripe of stripes) bytes.set(stripe, (bytes.get(stripe) ?? 0) + 4096);
    }
    return bytes;
  }

  /** Whoever refers to one stripe then refers to another one. */
  move(from: string, to: string): void {
    const moveAll = (stripes: readonly string[]) => stripes.map((stripe) => (stripe === from ? to : stripe));
    this.versions = this.versions.map((version) => ({ ...version, stripes: moveAll(version.stripes) }));
    for (const { parts } of this.uploads) {
      for (const [number, part] of parts) parts.set(number, { ...part, stripes: moveAll(part.stripes) });
    }
  }

  /** Every version in the order in which it is listed. */
  sortedVersions(): ModelVersion[] {
    const keys = sortKeys(new Set(this.versions.map(({ key }) => key)));
    return keys.flatMap((key) => this.versionsOf(key));
  }

  currentKeys(): string[] {
    const current = this.versions.filter((version) => !version.isMarker && this.latest(version.key) === version);
    return sortKeys(new Set(current.map(({ key }) => key)));
  }
}

export interface ModelEntry<Item> {
  /** Undefined for a common prefix. */
  readonly item?: Item;
  readonly name: string;
}

/** Items with the prefix as entries of a listing: each itself, or once the common prefix that it rolls up into. */
export function rollUp<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  { prefix, delimiter }: ModelQuery,
): ModelEntry<Item>[] {
  const entries: ModelEntry<Item>[] = [];
  for (const item of items) {
    const key = keyOf(item);
    if (!key.startsWith(prefix)) continue;
    const name = commonPrefixOf(key, { prefix, delimiter });
    if (name === undefined) entries.push({ item, name: key });
    else if (!entries.some((entry) => entry.item === undefined && entry.name === name)) entries.push({ name });
  }
  return entries;
}

export function commonPrefixOf(key: string, { prefix, delimiter }: Omit<ModelQuery, 'limit'>): string | undefined {
  const pieces = key.slice(prefix.length).split(delimiter);
  return !key.startsWith(prefix) || delimiter === '' || pieces.length === 1
    ? undefined
    : prefix + pieces[0] + delimiter;
}

export function isAfter(key: string, other: string): boolean {
  return Buffer.compare(Buffer.from(key), Buffer.from(other)) > 0;
}

function sortKeys(keys: Iterable<string>): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
