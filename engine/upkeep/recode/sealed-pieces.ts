import type { SealedSpan, Stripe } from '../../../core/model.ts';
import { rowDataBytes } from '../../../erasure/geometry.ts';
import { systemProfileName } from '../../../metadata/metadata-store.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { listPackages, opensPackage, type PlacedPackage } from '../../list-packages.ts';
import { openManifest } from '../../manifest.ts';
import { readExtent } from '../../read-extents.ts';

/** Where bytes of a sealed piece lie in the stripe's data, and from where on they stand in the piece. */
export interface PiecePlace {
  readonly offset: number;
  readonly length: number;
  readonly at: number;
}

/** Something sealed of which at least a part lies in a stripe: it opens only if all of its bytes are right. */
export interface SealedPiece {
  readonly length: number;
  readonly places: readonly PiecePlace[];
  /** What of it lies in other stripes. */
  readonly others: readonly { readonly at: number; readonly bytes: Uint8Array }[];
  /** The rows of the stripe that it touches, in ascending order. */
  readonly rows: readonly number[];
  /** @param sealed all of it */
  opens(sealed: Uint8Array): boolean;
}

/**
 * All that proves itself in a stripe and that somebody refers to: the packages of objects, parts and system objects, and the manifest.
 *
 * @returns undefined where nobody refers to the stripe any more
 * @throws Failure where what lies in another stripe cannot be read now; the signal's reason
 */
export async function listSealedPieces(
  parts: EngineParts,
  stripe: Stripe,
  signal: AbortSignal,
): Promise<SealedPiece[] | undefined> {
  const packages = listPackages(await listSpans(parts, stripe), stripe.id);
  if (packages.length === 0) return undefined;
  const pieces: SealedPiece[] = [];
  for (const each of packages) pieces.push(await gatherPackage(parts, stripe, each, signal));
  if (stripe.manifestBytes > 0) pieces.push(placeManifest(parts, stripe));
  return pieces;
}

async function listSpans({ metadata }: EngineParts, { id, profileName }: Stripe): Promise<SealedSpan[]> {
  if (profileName === systemProfileName) return (await metadata.listSystemObjects()).flatMap(({ spans }) => spans);
  const references = await metadata.listReferences(id);
  return references.flatMap((each) => (each.kind === 'version' ? each.version : each.part).spans);
}

async function gatherPackage(
  parts: EngineParts,
  stripe: Stripe,
  each: PlacedPackage,
  signal: AbortSignal,
): Promise<SealedPiece> {
  const places: PiecePlace[] = [];
  const others: { at: number; bytes: Uint8Array }[] = [];
  let at = 0;
  for (const extent of each.extents) {
    const { stripeId, offset, length } = extent;
    if (stripeId === stripe.id) places.push({ offset, length, at });
    // Short: less than a package.
    else others.push({ at, bytes: await readExtent(parts, extent, signal) });
    at += length;
  }
  const opens = (sealed: Uint8Array): boolean => opensPackage(parts.masterKey, each, sealed);
  return { length: at, places, others, rows: listRows(stripe, places), opens };
}

function placeManifest({ masterKey }: EngineParts, stripe: Stripe): SealedPiece {
  const { id, dataBytes, manifestBytes: length } = stripe;
  const places = [{ offset: dataBytes - length, length, at: 0 }];
  const opens = (sealed: Uint8Array): boolean => openManifest(masterKey, id, sealed) !== undefined;
  return { length, places, others: [], rows: listRows(stripe, places), opens };
}

function listRows(stripe: Stripe, places: readonly PiecePlace[]): number[] {
  const rowBytes = rowDataBytes(stripe);
  const rows = new Set<number>();
  for (const { offset, length } of places) {
    const last = Math.floor((offset + length - 1) / rowBytes);
    for (let row = Math.floor(offset / rowBytes); row <= last; row++) rows.add(row);
  }
  return [...rows].sort((a, b) => a - b);
}
