/** The middle of repeated measurements, and how far they lay apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @throws RangeError for no values */
export function summarize(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: quantile(sorted, 0.5), min: quantile(sorted, 0), max: quantile(sorted, 1) };
}

/** Of values in ascending order, by linear interpolation. @throws RangeError for no values */
export function quantile(sorted: readonly number[], fraction: number): number {
  const position = (sorted.length - 1) * fraction;
  const low = sorted[Math.floor(position)];
  const high = sorted[Math.ceil(position)];
  if (low === undefined || high === undefined) throw new RangeError('no values');
  return low + (high - low) * (position % 1);
}

/** What a straight line through values says, of which one was measured in each window of time. */
export interface Trend {
  readonly mean: number;
  /** By how much the line rises from the first window to the last, as a share of the mean. */
  readonly rise: number;
}

/** Least squares. @throws RangeError for no values */
export function fitTrend(values: readonly number[]): Trend {
  if (values.length === 0) throw new RangeError('no values');
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = (values.length - 1) / 2;
  let product = 0;
  let square = 0;
  for (const [at, value] of values.entries()) {
    product += (at - middle) * (value - mean);
    square += (at - middle) ** 2;
  }
  return { mean, rise: square === 0 ? 0 : ((product / square) * (values.length - 1)) / mean };
}

/** A sentence that says whether values stayed flat: whether they rose by no more than a share of their mean. */
export function describeTrend(name: string, values: readonly number[], maxRise: number): string {
  if (values.length < 3) return `${name}: too few windows to tell.`;
  const { rise } = fitTrend(values);
  const verdict = rise <= maxRise ? 'stayed flat' : 'ROSE';
  return `${name} ${verdict}: ${rise >= 0 ? '+' : ''}${(rise * 100).toFixed(0)} % from the first window to the last.`;
}
