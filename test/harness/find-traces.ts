/** A way to write text or bytes down, in which somebody might find them. */
interface Trace {
  readonly needle: string;
  readonly encoding: string;
  readonly bytes: Buffer;
}

/**
 * Where any of these texts can be found in the bytes: as they are, in UTF-16 of both byte orders, in hex digits, and in base64 of either alphabet and
 * wherever in a longer text they begin.
 *
 * @returns one line for each trace that was found
 */
export function findTraces(haystack: Buffer, needles: readonly string[]): string[] {
  const found: string[] = [];
  for (const { needle, encoding, bytes } of needles.flatMap(encodeEach)) {
    const at = haystack.indexOf(bytes);
    if (at >= 0) found.push(`${JSON.stringify(needle)} as ${encoding} at ${at}`);
  }
  return found;
}

function encodeEach(needle: string): Trace[] {
  const utf8 = Buffer.from(needle, 'utf8');
  const utf16 = Buffer.from(needle, 'utf16le');
  const hex = utf8.toString('hex');
  const traces: [string, Buffer][] = [
    ['UTF-8', utf8],
    ['UTF-16, little end first', utf16],
    ['UTF-16, big end first', Buffer.from(utf16).swap16()],
    ['hex', Buffer.from(hex, 'latin1')],
    ['HEX', Buffer.from(hex.toUpperCase(), 'latin1')],
  ];
  for (let before = 0; before < 3; before++) {
    const text = encodeWithin(utf8, before);
    traces.push([`base64 from byte ${before}`, Buffer.from(text, 'latin1')]);
    const url = text.replaceAll('+', '-').replaceAll('/', '_');
    if (url !== text) traces.push([`base64url from byte ${before}`, Buffer.from(url, 'latin1')]);
  }
  return traces.map(([encoding, bytes]) => ({ needle, encoding, bytes }));
}

/** The characters of base64 that follow from these bytes alone, whatever stands before and behind them. */
function encodeWithin(bytes: Buffer, before: number): string {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
  return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
}
