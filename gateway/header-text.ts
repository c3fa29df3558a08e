/**
 * Text beyond ASCII in headers. HTTP gives us bytes as Latin-1; clients send UTF-8 or RFC 2047 encoded words, and AWS
 * answers with encoded words. Source: AWS "Working with object metadata", RFC 2047.
 */

const encodedWord = /=\?utf-8\?(b|q)\?([^?]*)\?=/gi;

/** What the client meant by a header's value. */
export function decodeHeaderText(value: string): string {
  const text = isAscii(value) ? value : latin1ToText(value);
  if (!text.includes('=?')) return text;
  // Between two encoded words white space is only folding (RFC 2047, section 6.2).
  return text.replace(/\?=\s+=\?/g, '?==?').replace(encodedWord, (whole, kind: string, content: string) => {
    const bytes = kind.toLowerCase() === 'b' ? Buffer.from(content, 'base64') : decodeQ(content);
    return decodeUtf8(bytes) ?? whole;
  });
}

/** A value that HTTP can carry: as it is when printable ASCII, else as one encoded word. */
export function encodeHeaderText(text: string): string {
  return /^[\x20-\x7e\t]*$/.test(text) ? text : `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`;
}

function latin1ToText(value: string): string {
  return decodeUtf8(Buffer.from(value, 'latin1')) ?? value;
}

function decodeQ(content: string): Buffer {
  const raw = content
    .replaceAll('_', ' ')
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(raw, 'latin1');
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function isAscii(value: string): boolean {
  return /^[\x00-\x7f]*$/.test(value);
}
