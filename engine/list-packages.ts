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

/** The packages of a span of which at least a piece lies in a stripe, in order. */
export function listPackages(span: SealedSpan, stripeId: StripeId): PlacedPackage[] {
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
  return [...indexes].map((index) => {
    const { offset, length } = sealedRange(span.streamBytes, index, index);
    return { span, index, extents: cutExtents(span.extents, offset - first * sealedPackageBytes, length) };
  });
}

/** Whether these are exactly the sealed bytes of the package. */
export function opensPackage(masterKey: MasterKey, { span, index }: PlacedPackage, sealed: Uint8Array): boolean {
  const dataKey = masterKey.unwrap(span.wrappedKey);
  return dataKey !== undefined && openPackage(dataKey, span.streamBytes, index, sealed) !== undefined;
}
