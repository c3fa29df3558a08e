import type { Matrix } from './galois-field.ts';

/** How the products of a matrix and its inputs come about by exclusive or and doubling alone. */
export interface SumPlan {
  /**
   * For each row the terms of its sums: `sums[row][bit]` are those whose coefficient has that bit, so that the row's product is the sum of
   * 2^bit times each. A term below `inputs` is an input, `inputs + n` is pair n.
   */
  readonly sums: readonly (readonly (readonly number[])[])[];
  /** Sums of two terms that several others share. A pair may be made of pairs before it. */
  readonly pairs: readonly (readonly [number, number])[];
}

const bits = 8;

/**
 * Splits each row into the sums of its bits, and finds greedily what these share: the two terms that stand together in the most sums become
 * one term, until no two stand together twice (Paar, "Optimized Arithmetic for Reed-Solomon Encoders", 1997). It takes
 * a third off the work of 10+4.
 */
export function planSums(rows: Matrix): SumPlan {
  const inputs = rows[0]!.length;
  const sums = rows.map((row) =>
    Array.from({ length: bits }, (_, bit) =>
      Array.from(row.keys()).filter((input) => ((row[input]! >> bit) & 1) === 1),
    ),
  );
  const all = sums.flat();
  const counts = new PairCounts();
  for (const terms of all) counts.addWithin(terms, 1);
  const pairs: [number, number][] = [];
  for (let next = inputs; ; next++) {
    const pair = counts.mostFrequent(next);
    if (pair === undefined) return { sums, pairs };
    pairs.push(pair);
    for (const terms of all) {
      const at = terms.indexOf(pair[0]);
      if (at === -1 || !terms.includes(pair[1])) continue;
      counts.addWithin(terms, -1);
      terms.splice(at, 1);
      terms.splice(terms.indexOf(pair[1]), 1);
      terms.push(next);
      counts.addWithin(terms, 1);
    }
  }
}

/** In how many sums two terms stand together. Terms of a sum are in ascending order. */
class PairCounts {
  /** Row by row: `#counts[high][low]` for low < high. */
  readonly #counts: Uint16Array[] = [];

  addWithin(terms: readonly number[], change: 1 | -1): void {
    for (let i = 1; i < terms.length; i++) {
      const row = this.#row(terms[i]!);
      for (let j = 0; j < i; j++) row[terms[j]!]! += change;
    }
  }

  /** Of terms below `limit`; undefined where none stand together twice. */
  mostFrequent(limit: number): [number, number] | undefined {
    let most = 1;
    let pair: [number, number] | undefined;
    for (let high = 1; high < limit; high++) {
      const row = this.#row(high);
      for (let low = 0; low < high; low++) {
        if (row[low]! <= most) continue;
        most = row[low]!;
        pair = [low, high];
      }
    }
    return pair;
  }

  #row(term: number): Uint16Array {
    while (this.#counts.length <= term) this.#counts.push(new Uint16Array(this.#counts.length));
    return this.#counts[term]!;
  }
}
