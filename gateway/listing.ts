import type { ListedObject } from '../engine/engine.ts';
import type { Accounts } from './accounts.ts';
import { invalidArgument } from './invalid-argument.ts';
import { element, textElement, type Xml, xmlTime } from './xml/xml-writer.ts';

/** The most entries that a page of any listing has, and how many it has when the client names no number. */
export const maxPageEntries = 1000;

/** How keys, prefixes and delimiters are written in a listing. */
export interface KeyEncoding {
  write(text: string): string;
  /** What the client asked for, for the answer's EncodingType. */
  readonly name: string | undefined;
}

const plain: KeyEncoding = { write: (text) => text, name: undefined };

/** The listing's `encoding-type`. @throws S3Error InvalidArgument where it is there and not `url` */
export function parseKeyEncoding(query: ReadonlyMap<string, string>): KeyEncoding {
  const name = query.get('encoding-type');
  if (name === undefined) return plain;
  if (name.toLowerCase() !== 'url') {
    throw invalidArgument('Invalid Encoding Method specified in Request', 'encoding-type', name);
  }
  return { write: urlEncode, name };
}

const rewritten: Record<string, string> = {
  '%20': '+',
  '%2F': '/',
  '!': '%21',
  "'": '%27',
  '(': '%28',
  ')': '%29',
  '~': '%7E',
};

/** As a form field, but a slash stays; that is what AWS sends, and what clients undo. */
function urlEncode(text: string): string {
  return encodeURIComponent(text).replace(/%20|%2F|[!'()~]/g, (found) => rewritten[found] as string);
}

/** What is shared by the parameters of all listings of keys; an empty value means the same as none. */
export function parseKeyRange(query: ReadonlyMap<string, string>): { prefix?: string; delimiter?: string } {
  const prefix = query.get('prefix') || undefined;
  const delimiter = query.get('delimiter') || undefined;
  return { ...(prefix && { prefix }), ...(delimiter && { delimiter }) };
}

export function renderCommonPrefixes(prefixes: readonly string[], encoding: KeyEncoding): Xml[] {
  return prefixes.map((prefix) => element('CommonPrefixes', textElement('Prefix', encoding.write(prefix))));
}

/** An owner or, under another name, an initiator. */
export function renderOwner(accounts: Accounts, canonicalId: string, name: 'Owner' | 'Initiator' = 'Owner'): Xml {
  return element(name, textElement('ID', canonicalId), textElement('DisplayName', accounts.displayName(canonicalId)));
}

/** What ListObjects and ListObjectVersions say of an object, from its time to its size. */
export function renderObjectFacts(object: ListedObject): Xml[] {
  return [
    textElement('LastModified', xmlTime(object.modifiedAtMs)),
    textElement('ETag', `"${object.etag}"`),
    textElement('ChecksumAlgorithm', object.checksum?.algorithm),
    textElement('ChecksumType', object.checksum?.type),
    textElement('Size', object.sizeBytes),
  ];
}

/** `<Contents>` of both ListObjects. The owner is left out where no accounts are given. */
export function renderContents(object: ListedObject, encoding: KeyEncoding, accounts: Accounts | undefined): Xml {
  return element(
    'Contents',
    textElement('Key', encoding.write(object.key)),
    ...renderObjectFacts(object),
    ...(accounts ? [renderOwner(accounts, object.ownerId)] : []),
    textElement('StorageClass', object.storageClass),
  );
}
