import type { Extent, SealedSpan, StripeId } from '../core/model.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { openPackage, sealedPackageBytes, sealedRange } from '../crypto/sealed-stream.ts';
import { cutExtents } from './cut-extents.ts';
import { packagesOf } from './cut-spans.ts';

/** A package of a sealed stream, and where its sealed bytes lie. */
export interface PlacedPackage {
  readonly span: SealedSpan;
  /** Its number in the stream. */
  readonly index: number;
  /** Its sealed bytes, in order: several extents where a stripe ended within it. */
  readonly extents: readonly Extent[];
}

/** The packages of spans of which at least a piece lies in a stripe; one that several spans mean, as those of copies do, once. */
export function listPackages(spans: readonly SealedSpan[], stripeId: StripeId): PlacedPackage[] {
  const packages = new Map<string, PlacedPackage>();
  for (const span of spans) {
    const key = Buffer.from(span.wrappedKey).toString('base64');
    for (const index of listIndexes(span, stripeId)) packages.set(`${key} ${index}`, placePackage(span, index));
  }
  return [...packages.values()];
}

/** Where a package that a span holds lies. */
export function placePackage(span: SealedSpan, index: number): PlacedPackage {
  const { offset, length } = sealedRange(span.streamBytes, index, index);
  const skip = offset - packagesOf(span).first * sealedPackageBytes;
  return { span, index, extents: cutExtents(span.extents, skip, length) };
}

function listIndexes(span: SealedSpan, stripeId: StripeId): Set<number> {
  const { first } = packagesOf(span);
  const indexes = new Set<number>();
  let at = 0;
  for (const { stripeId: id, length } of span.extents) {
    const last = Math.floor((at + length - 1) / sealedPackageBytes);
    if (id === stripeId) {
      for (let index = Math.floor(at / sealedPackageBytes); index <= last; index++) indexes.add(first + index);
    }
    at += length;
  }
  return indexes;
}

/** Whether these are exactly the sealed bytes of the package. */
export function opensPackage(masterKey: MasterKey, { span, index }: PlacedPackage, sealed: Uint8Array): boolean {
  const dataKey = masterKey.unwrap(span.wrappedKey);
  return dataKey !== undefined && openPackage(dataKey, span.streamBytes, index, sealed) !== undefined;
}
