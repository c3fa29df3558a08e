import { releaseMemory } from '../../core/release-memory.ts';
import { measureRun, type OpenedRun, openPackages, type SealedRun } from '../../crypto/open-packages.ts';

/** What came of sealed bytes. */
export interface PlainRun extends Pick<OpenedRun, 'corrupt'> {
  /** Of the packages that were opened, in a buffer of their own. */
  readonly plain: Uint8Array;
}

/** Opens the packages that lie whole in a run, and gives back the memory of its pieces: each must be all that is used of what lies beneath it. */
export function openRun(run: SealedRun): PlainRun {
  const runBytes = run.pieces.reduce((sum, piece) => sum + piece.length, 0);
  // Not from the pool that all share: the buffer's memory is given back at once when it was used.
  const target = Buffer.allocUnsafeSlow(measureRun(run, runBytes).plainBytes);
  const { plainBytes, corrupt } = openPackages(run, target);
  for (const piece of run.pieces) releaseMemory(piece);
  return { plain: target.subarray(0, plainBytes), corrupt };
}
