import type { ErasureCodec } from '../../../erasure/erasure-codec.ts';

/** More wrong blocks in a row than this are not looked for: the ways to choose them are too many. */
const maxWrong = 2;

/**
 * Which blocks of a row are not what the others say that they must be. A code with m parity blocks tells for certain as long as no more
 * than half of m are wrong: then there is only one row that differs in so few blocks.
 *
 * @param blocks all k+m in order of index and of one length, those that store nothing as zeros
 * @returns indexes, none where they agree; undefined where they do not and it cannot be said which are wrong
 */
export function judgeRow(
  codec: ErasureCodec,
  blocks: readonly Uint8Array[],
  { k, m }: { readonly k: number; readonly m: number },
): readonly number[] | undefined {
  const data = blocks.slice(0, k);
  const coded = Array.from({ length: m }, () => new Uint8Array(blocks[0]!.length));
  if (m > 0) codec.encode(data, coded);
  const wrongParity = coded.flatMap((block, at) => (isSame(block, blocks[k + at]!) ? [] : [k + at]));
  const most = Math.min(Math.floor(m / 2), maxWrong);
  if (wrongParity.length <= most) return wrongParity;
  for (let count = 1; count <= most; count++) {
    for (const wrong of choose(k + m, count)) if (areOneRow(codec, blocks, k, wrong)) return wrong;
  }
  return undefined;
}

/** Whether all blocks but these go together. */
function areOneRow(codec: ErasureCodec, blocks: readonly Uint8Array[], k: number, without: readonly number[]): boolean {
  const others = Array.from(blocks.keys()).filter((index) => !without.includes(index));
  const [basis, checked] = [others.slice(0, k), others.slice(k)];
  const given = blocks.map((block, index) => (basis.includes(index) ? block : undefined));
  const rebuilt = codec.reconstruct(given, k, checked);
  return checked.every((index, at) => isSame(rebuilt[at]!, blocks[index]!));
}

function* choose(of: number, count: number, from = 0): Generator<number[], void, void> {
  if (count === 0) {
    yield [];
    return;
  }
  for (let first = from; first < of; first++) {
    for (const rest of choose(of, count - 1, first + 1)) yield [first, ...rest];
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
