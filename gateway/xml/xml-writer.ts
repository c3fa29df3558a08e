const xmlns = 'http://s3.amazonaws.com/doc/2006-03-01/';

/** What every document begins with. */
export const xmlDeclaration = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** XML that is already escaped; made only by the functions here. */
export type Xml = string & { readonly __brand: 'Xml' };

const special = /[&<>"\r\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;
const named: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Escapes text. Characters that XML 1.0 cannot hold become numeric references, as AWS sends them. */
export function escapeXml(text: string): string {
  return text.replace(special, (char) => named[char] ?? `&#x${char.charCodeAt(0).toString(16)};`);
}

/** An element with text; nothing at all for undefined. */
export function textElement(name: string, text: string | number | boolean | undefined): Xml {
  return (text === undefined ? '' : `<${name}>${typeof text === 'string' ? escapeXml(text) : text}</${name}>`) as Xml;
}

/** Text alone, for a document that holds nothing else. */
export function textNode(text: string): Xml {
  return escapeXml(text) as Xml;
}

/** An element with child elements, in order. */
export function element(name: string, ...children: readonly Xml[]): Xml {
  return `<${name}>${children.join('')}</${name}>` as Xml;
}

/** A whole document in S3's namespace. */
export function xmlDocument(root: string, ...children: readonly Xml[]): string {
  return `${xmlDeclaration}<${root} xmlns="${xmlns}">${children.join('')}</${root}>`;
}

/** An error's document has no namespace. */
export function errorDocument(...children: readonly Xml[]): string {
  return `${xmlDeclaration}<Error>${children.join('')}</Error>`;
}

/** `2006-02-03T16:45:09.000Z`, as listings show times. */
export function xmlTime(ms: number): string {
  return new Date(ms).toISOString();
}
