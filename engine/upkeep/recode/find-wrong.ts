import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Stripe } from '../../../core/model.ts';
import { findWrongParity } from '../../../erasure/check-row.ts';
import { rowCount, rowDataBytes, storedBlockBytes, storedBlockCount } from '../../../erasure/geometry.ts';
import type { EngineParts } from '../../engine-parts.ts';
import { cutPlace, type RebuiltBlocks, RowWindow } from './row-window.ts';
import { listSealedPieces, type SealedPiece } from './sealed-pieces.ts';

/** Where there are more ways to choose so many shards, it is not tried. */
const maxChoices = 10_000;

/**
 * Finds out which shards of a stripe are wrong although each has its digests, by what was sealed: bytes that open are right, whatever
 * else is not. Where all that lives in rows that are not code words opens as it is stored, the parity is wrong. Else
 * shards are taken for wrong, as few as can be, and computed from the others, until all of it opens (docs/decisions/0032).
 *
 * @param stripe with all shards that it should have
 * @returns indexes, none where the shards go together or nobody refers to the stripe; undefined where it cannot be said
 * @throws Failure where something cannot be read now, or memory is short; the signal's reason
 */
export async function findWrong(
  parts: EngineParts,
  stripe: Stripe,
  signal: AbortSignal,
): Promise<readonly number[] | undefined> {
  const pieces = await listSealedPieces(parts, stripe, signal);
  if (pieces === undefined) return [];
  const { readBudget } = parts;
  const lease = await readBudget.acquire(Math.min(boundBytes(stripe, pieces), readBudget.capacityBytes), signal);
  try {
    return await new WrongSearch(parts, stripe, pieces, signal).run();
  } finally {
    lease.release();
  }
}

/** Rows that are in memory at once, as far as pieces cross from one to the next, and as much as one for what is computed. */
function boundBytes(stripe: Stripe, pieces: readonly SealedPiece[]): number {
  const longest = Math.max(...pieces.map(({ length }) => length));
  const rows = Math.min(1 + Math.ceil(longest / rowDataBytes(stripe)), rowCount(stripe));
  return (rows + 1) * (stripe.k + stripe.m) * storedBlockBytes(stripe, 0, 0);
}

class WrongSearch {
  readonly #codec: EngineParts['codec'];
  readonly #stripe: Stripe;
  readonly #pieces: readonly SealedPiece[];
  readonly #signal: AbortSignal;
  readonly #window: RowWindow;
  /** Rows that are no code words. */
  readonly #damaged = new Set<number>();
  /** Parity that is not what the data say. */
  readonly #wrongParity = new Set<number>();

  constructor(parts: EngineParts, stripe: Stripe, pieces: readonly SealedPiece[], signal: AbortSignal) {
    this.#codec = parts.codec;
    this.#stripe = stripe;
    this.#pieces = pieces;
    this.#signal = signal;
    this.#window = new RowWindow(parts, stripe);
  }

  async run(): Promise<readonly number[] | undefined> {
    const failing = await this.#survey();
    // What nothing lives in may be as it is: then the parity follows it.
    if (failing.length === 0) return [...this.#wrongParity];
    const suspects = failing.map((piece) => this.#shardsOf(piece));
    for (let count = 1; count <= this.#stripe.m; count++) {
      const choices = this.#listChoices(count, suspects);
      const proven = choices && (await this.#prove(choices));
      // Where several prove, they differ in bytes that nobody refers to, and nothing says which of them are right.
      if (proven?.length !== 0) return proven?.length === 1 ? proven[0] : undefined;
    }
    return undefined;
  }

  /** Looks at all rows as they are stored. Returns what does not open although it should, in rows that are no code words. */
  async #survey(): Promise<SealedPiece[]> {
    const failing: SealedPiece[] = [];
    const rows = Array.from({ length: rowCount(this.#stripe) }, (_, row) => row);
    await this.#walk(rows, this.#pieces, async (row, blocks, ending) => {
      const wrong = findWrongParity(this.#codec, blocks, this.#stripe);
      if (wrong.length > 0) this.#damaged.add(row);
      for (const index of wrong) this.#wrongParity.add(index);
      const touching = ending.filter((piece) => this.#isDamaged(piece));
      failing.push(...touching.filter((piece) => !piece.opens(this.#window.assemble(piece))));
      return true;
    });
    return failing;
  }

  /** Of these choices of wrong shards, those with which all rows are code words and all opens that lives in rows that are not. */
  async #prove(choices: readonly (readonly number[])[]): Promise<(readonly number[])[]> {
    let left = [...choices];
    const pieces = this.#pieces.filter((piece) => this.#isDamaged(piece));
    const rows = new Set([...this.#damaged, ...pieces.flatMap((piece) => piece.rows)]);
    await this.#walk(
      [...rows].sort((a, b) => a - b),
      pieces,
      async (row, _, ending) => {
        const proven: (readonly number[])[] = [];
        for (const wrong of left) {
          await nextTurn();
          this.#signal.throwIfAborted();
          if (this.#holds(wrong, row, ending)) proven.push(wrong);
        }
        left = proven;
        return left.length > 0;
      },
    );
    return left;
  }

  /** Whether these shards can be all that is wrong, as far as the row and what ends in it tell. */
  #holds(wrong: readonly number[], row: number, ending: readonly SealedPiece[]): boolean {
    const rebuilt = new Map<number, RebuiltBlocks>();
    // What else opened as it is stored.
    const changed = ending.filter((piece) => this.#shardsOf(piece).some((index) => wrong.includes(index)));
    for (const each of new Set([row, ...changed.flatMap(({ rows }) => rows)])) {
      if (!this.#damaged.has(each)) continue;
      const blocks = this.#window.rebuild(each, wrong);
      if (blocks === undefined) return false;
      rebuilt.set(each, blocks);
    }
    return changed.every((piece) => piece.opens(this.#window.assemble(piece, rebuilt)));
  }

  /** Loads rows, in ascending order, and keeps those that are needed for a piece until it ends. Until `visit` says that it is enough. */
  async #walk(
    rows: readonly number[],
    pieces: readonly SealedPiece[],
    visit: (row: number, blocks: readonly Uint8Array[], ending: readonly SealedPiece[]) => Promise<boolean>,
  ): Promise<void> {
    const byEnd = Map.groupBy(pieces, ({ rows }) => rows.at(-1)!);
    const crossing = pieces.filter(({ rows }) => rows.length > 1);
    for (const row of rows) {
      const blocks = await this.#window.load(row, this.#signal);
      if (!(await visit(row, blocks, byEnd.get(row) ?? []))) break;
      this.#window.keepOnly(crossing.filter((piece) => piece.rows.at(-1)! > row));
    }
    this.#window.keepOnly([]);
  }

  #isDamaged({ rows }: SealedPiece): boolean {
    return rows.some((row) => this.#damaged.has(row));
  }

  /** The shards that hold bytes of a piece in rows that are no code words. */
  #shardsOf({ places }: SealedPiece): number[] {
    const shards = new Set<number>();
    for (const place of places) {
      for (const { row, index } of cutPlace(this.#stripe, place)) if (this.#damaged.has(row)) shards.add(index);
    }
    return [...shards];
  }

  /** Ways to choose so many of the stripe's shards, at least one of each group of suspects; undefined where they are too many. */
  #listChoices(count: number, suspects: readonly (readonly number[])[]): (readonly number[])[] | undefined {
    const { k, m } = this.#stripe;
    const stored = Array.from({ length: k + m }, (_, index) => index).filter(
      (index) => storedBlockCount(this.#stripe, index) > 0,
    );
    const choices: (readonly number[])[] = [];
    let drawn = 0;
    for (const choice of choose(stored, count)) {
      drawn += 1;
      if (drawn > maxChoices) return undefined;
      if (suspects.every((group) => group.some((index) => choice.includes(index)))) choices.push(choice);
    }
    return choices;
  }
}

function* choose(from: readonly number[], count: number): Generator<readonly number[], void, void> {
  if (count === 0) {
    yield [];
    return;
  }
  for (const [at, first] of from.entries()) {
    for (const rest of choose(from.slice(at + 1), count - 1)) yield [first, ...rest];
  }
}
