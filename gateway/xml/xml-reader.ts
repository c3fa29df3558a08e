import { SaxesParser } from 'saxes';
import { S3Error } from '../s3-error.ts';

/** An element: its local name, the text directly inside it, and its child elements. */
export interface XmlElement {
  readonly name: string;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

const maxDepth = 12;

/**
 * Parses a small document. A DTD is refused, so entities cannot be declared.
 * @throws S3Error MalformedXML
 */
export function parseXml(bytes: Uint8Array, rootName: string): XmlElement {
  type Open = { name: string; text: string; children: XmlElement[] };
  const stack: Open[] = [];
  let root: XmlElement | undefined;
  const parser = new SaxesParser({ xmlns: true });
  const refuse = (): never => {
    throw new S3Error('MalformedXML');
  };
  parser.on('error', refuse);
  parser.on('doctype', refuse);
  parser.on('opentag', (tag) => {
    if (stack.length >= maxDepth) refuse();
    stack.push({ name: tag.local, text: '', children: [] });
  });
  parser.on('text', (text) => {
    const open = stack.at(-1);
    if (open) open.text += text;
  });
  parser.on('cdata', (text) => {
    const open = stack.at(-1);
    if (open) open.text += text;
  });
  parser.on('closetag', () => {
    const done = stack.pop() as Open;
    const parent = stack.at(-1);
    if (parent) parent.children.push(done);
    else root = done;
  });
  parser.write(decodeUtf8(bytes)).close();
  if (root?.name !== rootName) throw new S3Error('MalformedXML');
  return root;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new S3Error('MalformedXML');
  }
}

/** The text of the only child of that name; undefined where there is none. @throws S3Error MalformedXML where there are several */
export function childText(parent: XmlElement, name: string): string | undefined {
  const found = parent.children.filter((child) => child.name === name);
  if (found.length > 1) throw new S3Error('MalformedXML');
  return found[0]?.text;
}
