import { releaseWhole } from '../core/release-memory.ts';
import type { ShardWriter } from '../placement/providers/provider.ts';

/**
 * Appends the pieces of a body, which must be the caller's, and gives the memory of each back once it is written: left to
 * the garbage collector that costs more than to receive them.
 *
 * @param onAppended told the length of each piece
 */
export async function appendPieces(
  writer: ShardWriter,
  pieces: AsyncIterable<readonly Uint8Array[]>,
  onAppended: (bytes: number) => void = () => {},
): Promise<void> {
  for await (const piece of pieces) {
    await writer.append(piece);
    let bytes = 0;
    for (const buffer of piece) {
      bytes += buffer.length;
      releaseWhole(buffer);
    }
    onAppended(bytes);
  }
}
