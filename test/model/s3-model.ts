import { createHash } from 'node:crypto';
import { checksums } from '../../core/checksums.ts';
import type { FailureKind } from '../../core/failure.ts';
import type { Checksum, ChecksumAlgorithm, VersioningState } from '../../core/model.ts';
import { isAfter } from '../metadata/model-store.ts';

/** What a client said of an object beside its bytes. */
export interface ModelAttributes {
  readonly userMetadata: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
}

export interface ModelPart {
  readonly partNumber: number;
  readonly etag: string;
  readonly bytes: Buffer;
  readonly checksum?: Checksum;
}

export interface ModelObject extends ModelAttributes {
  readonly kind: 'object';
  readonly key: string;
  readonly versionId: string;
  readonly etag: string;
  readonly bytes: Buffer;
  readonly checksum?: Checksum;
  /** Of an object that was uploaded in parts. */
  readonly parts: readonly ModelPart[];
}

export interface ModelMarker {
  readonly kind: 'delete-marker';
  readonly key: string;
  readonly versionId: string;
}

export type ModelVersion = ModelObject | ModelMarker;

export interface ModelUpload extends ModelAttributes {
  readonly uploadId: string;
  readonly key: string;
  readonly algorithm: ChecksumAlgorithm | undefined;
  readonly parts: Map<number, ModelPart>;
  /** With what it was completed, and what the answer was; `aborted` once it was. */
  end?: 'aborted' | { readonly named: readonly NamedPart[]; readonly etag: string; readonly versionId: string };
}

export interface NamedPart {
  readonly partNumber: number;
  readonly etag: string;
}

/** A condition of a write as a history asks for it: resolved to an ETag only when the step is taken. */
export const conditionKinds = ['absent', 'etag', 'any', 'wrong', 'none'] as const;
export type ConditionKind = (typeof conditionKinds)[number];

/** One bucket as S3 documents it, in plain lists: what every history must come to. */
export class S3Model {
  versioning: VersioningState = 'unversioned';
  /** Of all keys, each newest first. */
  versions: ModelVersion[] = [];
  uploads: ModelUpload[] = [];

  versionsOf(key: string): ModelVersion[] {
    return this.versions.filter((version) => version.key === key);
  }

  latest(key: string): ModelVersion | undefined {
    return this.versionsOf(key)[0];
  }

  /** What a GET without a version id finds. */
  current(key: string): ModelObject | undefined {
    const latest = this.latest(key);
    return latest?.kind === 'object' ? latest : undefined;
  }

  find(key: string, versionId: string | undefined): ModelVersion | undefined {
    if (versionId === undefined) return this.latest(key);
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

  replace(old: ModelObject, changed: ModelObject): void {
    this.versions = this.versions.map((version) => (version === old ? changed : version));
  }

  /** Why a write to `key` is refused under this condition. */
  refuseCondition(
    key: string,
    condition: { readonly kind: string; readonly etag?: string } | undefined,
  ): FailureKind[] {
    const current = this.current(key);
    if (condition === undefined) return [];
    if (condition.kind === 'absent') return current ? ['precondition-failed'] : [];
    if (current === undefined) return ['object-missing'];
    return condition.etag === '*' || condition.etag === current.etag ? [] : ['precondition-failed'];
  }

  /** Why a version cannot be read. */
  refuseRead(key: string, versionId: string | undefined): FailureKind[] {
    const version = this.find(key, versionId);
    if (version === undefined) return [versionId === undefined ? 'object-missing' : 'version-missing'];
    return version.kind === 'delete-marker' ? ['delete-marker'] : [];
  }

  openUploads(): ModelUpload[] {
    return this.uploads.filter((upload) => upload.end === undefined);
  }

  /** Every version in the order in which it is listed. */
  sortedVersions(): ModelVersion[] {
    const keys = sortKeys(new Set(this.versions.map(({ key }) => key)));
    return keys.flatMap((key) => this.versionsOf(key));
  }

  /** Current objects in the order in which they are listed. */
  sortedObjects(): ModelObject[] {
    const keys = sortKeys(new Set(this.versions.map(({ key }) => key)));
    return keys.flatMap((key) => this.current(key) ?? []);
  }
}

export function sortKeys(keys: Iterable<string>): string[] {
  return [...keys].sort((a, b) => (isAfter(a, b) ? 1 : a === b ? 0 : -1));
}

/** The checksum of bytes that came in one piece. */
export function checksumOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): Checksum {
  const hasher = checksums[algorithm].create();
  hasher.update(bytes);
  return { algorithm, type: 'FULL_OBJECT', value: Buffer.from(hasher.digest()).toString('base64') };
}

/** The checksum of an object of parts: over all bytes where the algorithm can, else over the parts' own. */
export function checksumOfParts(algorithm: ChecksumAlgorithm, parts: readonly ModelPart[]): Checksum {
  if (algorithm === 'CRC64NVME') return checksumOf(algorithm, Buffer.concat(parts.map(({ bytes }) => bytes)));
  const digests = parts.map(({ bytes }) => Buffer.from(checksumOf(algorithm, bytes).value, 'base64'));
  const { value } = checksumOf(algorithm, Buffer.concat(digests));
  return { algorithm, type: 'COMPOSITE', value: `${value}-${parts.length}` };
}

/** S3's ETag of parts. */
export function etagOfParts(parts: readonly ModelPart[]): string {
  const digests = parts.map(({ etag }) => Buffer.from(etag, 'hex'));
  return `${createHash('md5').update(Buffer.concat(digests)).digest('hex')}-${parts.length}`;
}
