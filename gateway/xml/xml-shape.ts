import { S3Error } from '../s3-error.ts';
import { childText, type XmlElement } from './xml-reader.ts';

/** Refuses children of other names: AWS validates documents against its schema. @throws S3Error MalformedXML */
export function checkChildren(parent: XmlElement, ...names: readonly string[]): void {
  if (parent.children.some((child) => !names.includes(child.name))) throw new S3Error('MalformedXML');
}

/** The text of a child that must be there once. @throws S3Error MalformedXML */
export function requiredText(parent: XmlElement, name: string): string {
  const text = childText(parent, name);
  if (text === undefined) throw new S3Error('MalformedXML');
  return text;
}
