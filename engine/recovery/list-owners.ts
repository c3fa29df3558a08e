import type { SealedSpan, Upload } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { Owner } from './verify-report.ts';

/** Content in stripes, and whose it is. */
export interface OwnedContent {
  readonly owner: Owner;
  readonly spans: readonly SealedSpan[];
  readonly sizeBytes: number;
}

const pageSize = 1_000;

/** Everything in a store that refers to stripes, page by page. */
export async function* listOwners(metadata: MetadataStore): AsyncGenerator<OwnedContent[], void, void> {
  for (const bucket of await listBucketNames(metadata)) {
    yield* listVersions(metadata, bucket);
    yield* listParts(metadata, bucket);
  }
  const objects = await metadata.listSystemObjects();
  yield objects.map(({ name, spans, sizeBytes }) => ({ owner: { kind: 'system', name }, spans, sizeBytes }));
}

/** Of all owners, which no listing gives. */
async function listBucketNames(metadata: MetadataStore): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await metadata.readRecords(cursor, pageSize);
    const buckets = page.records.filter(({ kind }) => kind === 'bucket');
    names.push(...buckets.map(({ value }) => (value as { name: string }).name));
    // Buckets come before all that is in them.
    const isPast = page.records.some(({ kind }) => kind !== 'bucket' && kind !== 'setting');
    cursor = isPast ? undefined : page.cursor;
  } while (cursor !== undefined);
  return names;
}

async function* listVersions(metadata: MetadataStore, bucket: string): AsyncGenerator<OwnedContent[], void, void> {
  let keyMarker: string | undefined;
  let versionIdMarker: string | undefined;
  for (;;) {
    const page = await metadata.listVersions({
      bucket,
      limit: pageSize,
      ...(keyMarker !== undefined && { keyMarker }),
      ...(versionIdMarker !== undefined && { versionIdMarker }),
    });
    const owned: OwnedContent[] = [];
    for (const { kind, key, versionId } of page.versions) {
      if (kind === 'delete-marker') continue;
      const version = await metadata.findVersion(bucket, key, versionId);
      if (version?.kind !== 'object') continue;
      owned.push({ owner: { kind: 'version', bucket, key, versionId }, ...version });
    }
    yield owned;
    if (!page.isTruncated) return;
    keyMarker = page.nextKeyMarker;
    versionIdMarker = page.nextVersionIdMarker;
  }
}

async function* listParts(metadata: MetadataStore, bucket: string): AsyncGenerator<OwnedContent[], void, void> {
  for await (const { key, uploadId } of listUploads(metadata, bucket)) {
    const { parts } = await metadata.listParts(bucket, key, uploadId);
    yield parts.map((part) => {
      return { owner: { kind: 'part', bucket, key, uploadId, partNumber: part.partNumber }, ...part };
    });
  }
}

async function* listUploads(metadata: MetadataStore, bucket: string): AsyncGenerator<Upload, void, void> {
  let keyMarker: string | undefined;
  let uploadIdMarker: string | undefined;
  for (;;) {
    const page = await metadata.listUploads({
      bucket,
      limit: pageSize,
      ...(keyMarker !== undefined && { keyMarker }),
      ...(uploadIdMarker !== undefined && { uploadIdMarker }),
    });
    yield* page.uploads;
    if (!page.isTruncated) return;
    keyMarker = page.nextKeyMarker;
    uploadIdMarker = page.nextUploadIdMarker;
  }
}
