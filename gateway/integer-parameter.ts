import { invalidArgument } from './invalid-argument.ts';

const maxInt32 = 2_147_483_647;

/**
 * A whole number as AWS reads one: an optional minus and digits that fit 32 bits. Absent and empty both mean undefined.
 * @param name as the client spells it, for the error
 * @throws S3Error InvalidArgument
 */
export function parseInt32(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= -maxInt32 - 1 && value <= maxInt32)) {
    throw invalidArgument(`Provided ${name} not an integer or within integer range`, name, text);
  }
  return value + 0; // -0 is 0
}

/**
 * A count or a position: 0 or more.
 * @param spelling how the error spells the name, where AWS spells it otherwise there
 * @throws S3Error InvalidArgument
 */
export function parseCount(name: string, text: string | undefined, spelling = name): number | undefined {
  const value = parseInt32(name, text);
  if (value !== undefined && value < 0) {
    const message = `Argument ${spelling} must be an integer between 0 and ${maxInt32}`;
    throw invalidArgument(message, spelling, String(value));
  }
  return value;
}
