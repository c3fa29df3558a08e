import { invalidArgument } from './invalid-argument.ts';

export const maxPartNumber = 10_000;

/** The `partNumber` of a query. @throws S3Error InvalidArgument */
export function parsePartNumber(text: string): number {
  const partNumber = /^\d+$/.test(text) ? Number(text) : 0;
  if (partNumber < 1 || partNumber > maxPartNumber) {
    throw invalidArgument('Part number must be an integer between 1 and 10000, inclusive', 'partNumber', text);
  }
  return partNumber;
}
