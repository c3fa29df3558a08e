import type { Checksum, ObjectVersion } from '../../core/model.ts';
import { formatHttpDate } from '../http-date.ts';
import { parseCount } from '../integer-parameter.ts';
import { invalidArgument } from '../invalid-argument.ts';
import { maxPageEntries } from '../listing.ts';
import { type ObjectCall, objectOperation } from '../operation.ts';
import { S3Error } from '../s3-error.ts';
import { parseVersionId, renderVersionId } from '../version-id.ts';
import { checksumElements } from '../xml/checksum-elements.ts';
import { element, textElement, type Xml, xmlDocument } from '../xml/xml-writer.ts';

const attributeNames = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const;
type AttributeName = (typeof attributeNames)[number];

export const getObjectAttributes = objectOperation({
  name: 'GetObjectAttributes',
  method: 'GET',
  query: { attributes: true },
  async handle(call) {
    const wanted = parseAttributeNames(call.headers['x-amz-object-attributes'] as string | undefined);
    const partRange = parsePartRange(call);
    const target = { bucket: call.bucket.name, key: call.key, ...parseVersionId(call.query) };
    const { version } = await call.engine.objects.open(target);
    const rendered: Readonly<Record<AttributeName, () => readonly Xml[]>> = {
      ETag: () => [textElement('ETag', version.etag)],
      Checksum: () => renderChecksum(version.checksum),
      ObjectParts: () => renderParts(version, partRange),
      StorageClass: () => [textElement('StorageClass', version.storageClass)],
      ObjectSize: () => [textElement('ObjectSize', version.sizeBytes)],
    };
    return {
      status: 200,
      headers: {
        'content-type': 'application/xml',
        'last-modified': formatHttpDate(version.modifiedAtMs),
        ...renderVersionId(call.bucket, version),
      },
      body: xmlDocument(
        'GetObjectAttributesResponse',
        ...attributeNames.filter((name) => wanted.has(name)).flatMap((name) => rendered[name]()),
      ),
    };
  },
});

/** Names between commas; AWS overlooks commas at the end, but not an empty name before a name. */
function parseAttributeNames(header: string | undefined): ReadonlySet<string> {
  const names = header?.split(',').map((name) => name.trim()) ?? [];
  if (header !== '') while (names.at(-1) === '') names.pop();
  if (names.length === 0) {
    throw new S3Error(
      'InvalidRequest',
      'The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty',
    );
  }
  for (const name of names) {
    if (attributeNames.some((known) => known === name)) continue;
    throw invalidArgument('Invalid attribute name specified.', 'x-amz-object-attributes', name);
  }
  return new Set(names);
}

interface PartRange {
  readonly after: number;
  readonly limit: number;
}

function parsePartRange({ headers }: ObjectCall): PartRange {
  const after = parseCount('x-amz-part-number-marker', headers['x-amz-part-number-marker'] as string | undefined) ?? 0;
  const limit = parseCount('x-amz-max-parts', headers['x-amz-max-parts'] as string | undefined) ?? maxPageEntries;
  return { after, limit: Math.min(limit, maxPageEntries) };
}

/** A composite value stands here without its part count, which ObjectParts tells. */
function renderChecksum(checksum: Checksum | undefined): Xml[] {
  if (!checksum) return [];
  const bare = { ...checksum, value: checksum.value.replace(/-\d+$/, '') };
  return [element('Checksum', ...checksumElements(bare))];
}

/** AWS lists the parts only where each has a checksum that the object's is made of, and else just their number. */
function renderParts({ parts, checksum }: ObjectVersion, { after, limit }: PartRange): Xml[] {
  if (parts.length === 0) return [];
  const count = textElement('PartsCount', parts.length);
  if (checksum?.type !== 'COMPOSITE') return [element('ObjectParts', count)];
  const rest = parts.filter(({ partNumber }) => partNumber > after);
  const page = rest.slice(0, limit);
  const listed = page.map((part) =>
    element(
      'Part',
      textElement('PartNumber', part.partNumber),
      textElement('Size', part.sizeBytes),
      textElement(`Checksum${checksum.algorithm}`, part.checksum),
    ),
  );
  return [
    element(
      'ObjectParts',
      count,
      textElement('PartNumberMarker', after),
      textElement('NextPartNumberMarker', page.at(-1)?.partNumber ?? after),
      textElement('MaxParts', limit),
      textElement('IsTruncated', limit > 0 && rest.length > limit),
      ...listed,
    ),
  ];
}
