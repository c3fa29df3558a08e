/**
 * The rates at which `count` members have to be drawn so that each is among those taken as often as its share says.
 *
 * Every member draws a number, evenly distributed between 0 and 1; the `count` of which number by rate is lowest are
 * taken (sequential Poisson sampling). A member's share is about its rate, but not quite: by their weights alone, heavy
 * members would get too little. How often each is taken follows from the rates by an integral over the time, as number
 * by rate is called here: how many others came before is a sum of independent events, whose distribution is known
 * exactly. The rates follow from that by repetition. When a member joins, the rates of the others change by nearly the
 * same factor, which changes nothing of their order; with exponential times, as in plain weighted rendezvous, more moves.
 *
 * Ohlsson, "Sequential Poisson sampling", Journal of Official Statistics 14(2), 1998.
 *
 * @param shares each above 0 and below 1, with the sum `count`
 */
export function inclusionRates(shares: ArrayLike<number>, count: number): Float64Array {
  const rates = Float64Array.from(shares);
  for (let round = 0; round < maxRounds; round++) {
    const found = inclusionShares(rates, count);
    let worst = 0;
    for (let i = 0; i < rates.length; i++) {
      const ratio = shares[i]! / found[i]!;
      worst = Math.max(worst, Math.abs(ratio - 1));
      rates[i]! *= ratio;
    }
    if (worst < closeEnough) break;
  }
  return rates;
}

const maxRounds = 30;
const closeEnough = 5e-4;
/** Points of the integral; the integrand is smooth but for a bend at each member's last moment. */
const points = 96;

/** How often each member is among the `count` that come first, where each comes evenly between 0 and 1 / rate. */
export function inclusionShares(rates: Float64Array, count: number): Float64Array {
  // When so many have come for certain, all is decided.
  const end = 1 / rates.toSorted()[Math.max(0, rates.length - count)]!;
  const step = end / points;
  const shares = new Float64Array(rates.length);
  for (let point = 0; point < points; point++) {
    const time = (point + 0.5) * step;
    const before = rates.map((rate) => Math.min(1, rate * time));
    const counts = countDistribution(before);
    for (let i = 0; i < rates.length; i++) {
      const rate = rates[i]!;
      const part = Math.min(step, 1 / rate - point * step);
      if (part > 0) shares[i]! += rate * part * fewerThan(count, counts, before[i]!);
    }
  }
  return shares;
}

/** The distribution of how many of independent events happen. */
function countDistribution(chances: Float64Array): Float64Array {
  const counts = new Float64Array(chances.length + 1);
  counts[0] = 1;
  for (let i = 0; i < chances.length; i++) {
    const chance = chances[i]!;
    for (let n = i + 1; n > 0; n--) counts[n] = counts[n]! * (1 - chance) + counts[n - 1]! * chance;
    counts[0]! *= 1 - chance;
  }
  return counts;
}

/** How likely fewer than `limit` of the events happen, one of which, with this chance, is not looked at. */
function fewerThan(limit: number, counts: Float64Array, chance: number): number {
  let sum = 0;
  let last = 0;
  if (chance < 0.5) {
    for (let n = 0; n < limit; n++) {
      last = (counts[n]! - last * chance) / (1 - chance);
      sum += last;
    }
    return Math.min(1, Math.max(0, sum));
  }
  // To take an event out is to divide by one of its chances: from this end by the greater one.
  for (let n = counts.length - 2; n >= limit; n--) {
    last = (counts[n + 1]! - last * (1 - chance)) / chance;
    sum += last;
  }
  return Math.min(1, Math.max(0, 1 - sum));
}
