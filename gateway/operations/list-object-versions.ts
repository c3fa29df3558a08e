import type { ListedVersion } from '../../engine/engine.ts';
import type { Accounts } from '../accounts.ts';
import { parseInt32 } from '../integer-parameter.ts';
import { invalidArgument } from '../invalid-argument.ts';
import {
  type KeyEncoding,
  maxPageEntries,
  parseKeyEncoding,
  parseKeyRange,
  renderCommonPrefixes,
  renderObjectFacts,
  renderOwner,
} from '../listing.ts';
import { bucketOperation } from '../operation.ts';
import { element, textElement, type Xml, xmlDocument, xmlTime } from '../xml/xml-writer.ts';

export const listObjectVersions = bucketOperation({
  name: 'ListObjectVersions',
  method: 'GET',
  query: { versions: true },
  async handle({ query, bucket, engine, accounts }) {
    const maxKeys = parseMaxKeys(query);
    const { keyMarker, versionIdMarker } = parseMarkers(query);
    const encoding = parseKeyEncoding(query);
    const range = parseKeyRange(query);
    const page = await engine.objects.listVersions({
      bucket: bucket.name,
      ...range,
      limit: Math.min(maxKeys, maxPageEntries),
      ...(keyMarker && { keyMarker }),
      ...(versionIdMarker && { versionIdMarker }),
    });
    const nextKeyMarker = page.isTruncated ? encoding.write(page.nextKeyMarker ?? '') : undefined;
    const body = xmlDocument(
      'ListVersionsResult',
      textElement('Name', bucket.name),
      textElement('Prefix', encoding.write(range.prefix ?? '')),
      textElement('KeyMarker', encoding.write(keyMarker)),
      textElement('VersionIdMarker', versionIdMarker),
      textElement('NextKeyMarker', nextKeyMarker),
      textElement('NextVersionIdMarker', page.isTruncated ? page.nextVersionIdMarker : undefined),
      textElement('MaxKeys', maxKeys),
      textElement('Delimiter', range.delimiter && encoding.write(range.delimiter)),
      textElement('EncodingType', encoding.name),
      textElement('IsTruncated', page.isTruncated),
      ...page.versions.map((version) => renderVersion(version, encoding, accounts)),
      ...renderCommonPrefixes(page.commonPrefixes, encoding),
    );
    return { status: 200, headers: { 'content-type': 'application/xml' }, body };
  },
});

function parseMaxKeys(query: ReadonlyMap<string, string>): number {
  const maxKeys = parseInt32('max-keys', query.get('max-keys')) ?? maxPageEntries;
  if (maxKeys < 0) throw invalidArgument('max-keys cannot be negative', 'max-keys');
  return maxKeys;
}

function parseMarkers(query: ReadonlyMap<string, string>): { keyMarker: string; versionIdMarker: string } {
  const keyMarker = query.get('key-marker') ?? '';
  const versionIdMarker = query.get('version-id-marker');
  if (versionIdMarker !== undefined && keyMarker === '') {
    const message = 'A version-id marker cannot be specified without a key marker.';
    throw invalidArgument(message, 'version-id-marker', versionIdMarker);
  }
  if (versionIdMarker === '') throw invalidArgument('A version-id marker cannot be empty.', 'version-id-marker', '');
  return { keyMarker, versionIdMarker: versionIdMarker ?? '' };
}

function renderVersion(version: ListedVersion, encoding: KeyEncoding, accounts: Accounts): Xml {
  const identity = [
    textElement('Key', encoding.write(version.key)),
    textElement('VersionId', version.versionId),
    textElement('IsLatest', version.isLatest),
  ];
  const owner = renderOwner(accounts, version.ownerId);
  if (version.kind === 'delete-marker') {
    return element('DeleteMarker', ...identity, textElement('LastModified', xmlTime(version.modifiedAtMs)), owner);
  }
  const facts = [...renderObjectFacts(version), textElement('StorageClass', version.storageClass)];
  return element('Version', ...identity, ...facts, owner);
}
