import type { ProviderId } from '../../core/model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';

const yearHours = 8_766;

/** A stripe's loss in a year, for `n = shards` on providers that fail alone and alike. */
export interface PlainModel {
  readonly shards: number;
  /** How many may be lost. */
  readonly m: number;
  /** The chance that a provider is lost within a year, 0 to 1. */
  readonly annualFailureRate: number;
  /** From the loss of a provider until all its shards are rebuilt elsewhere. */
  readonly repairHours: number;
}

/**
 * The chance that a stripe is lost within a year (docs/durability.md): the year is cut into windows as long as a repair takes; it is
 * lost in a window in which more than m of its providers fail. The windows a year times P[Binomial(n, p) > m], where that is small.
 */
export function annualLoss({ shards, m, annualFailureRate, repairHours }: PlainModel): number {
  const p = failureIn(repairHours, annualFailureRate);
  return overYear(tail(spread(Array.from({ length: shards }, () => [1 - p, p])), m), repairHours);
}

/** What is assumed of a fleet. */
export interface FleetAssumptions {
  /** Of each provider: the chance that it is lost within a year. */
  readonly annualFailureRateOf: (id: ProviderId) => number;
  readonly repairHours: number;
  /** Who runs a provider; empty where that is not known. */
  readonly operatorOf: (id: ProviderId) => string;
  /** The chance that an operator fails as a whole within a year, with all that it runs. */
  readonly operatorFailureRate: number;
}

export interface FleetLoss {
  /** The chance that a stripe is lost within a year, averaged over all stripes. */
  readonly perStripe: number;
  /** Of the stripes that lie worst. */
  readonly worstStripe: number;
  /** A bound on the chance that any stripe is lost within a year: those that lie alike are lost together. */
  readonly anyStripe: number;
}

/** The same for stripes as they lie on a fleet, once for providers that fail alone, and once where operators fail too. */
export function fleetLoss(
  placements: readonly Placement[],
  assumptions: FleetAssumptions,
): { readonly alone: FleetLoss; readonly withOperators: FleetLoss } {
  return {
    alone: sumLoss(placements, assumptions, false),
    withOperators: sumLoss(placements, assumptions, true),
  };
}

function sumLoss(placements: readonly Placement[], assumptions: FleetAssumptions, doOperatorsFail: boolean): FleetLoss {
  let stripes = 0;
  let weighted = 0;
  let worstStripe = 0;
  /** The logarithm of the chance that none is lost. */
  let logNone = 0;
  for (const placement of placements) {
    const loss = placementLoss(placement, assumptions, doOperatorsFail);
    stripes += placement.stripes;
    weighted += loss * placement.stripes;
    worstStripe = Math.max(worstStripe, loss);
    logNone += Math.log1p(-Math.min(loss, 1 - Number.EPSILON));
  }
  return { perStripe: stripes === 0 ? 0 : weighted / stripes, worstStripe, anyStripe: -Math.expm1(logNone) };
}

/** Shards that are lacking already are lost to begin with. */
function placementLoss(
  { providers, shardCount, m }: Placement,
  { annualFailureRateOf, repairHours, operatorOf, operatorFailureRate }: FleetAssumptions,
  doOperatorsFail: boolean,
): number {
  const groups = Map.groupBy(providers, (id) => operatorOf(id) || `\0${id}`);
  const operatorFails = doOperatorsFail ? failureIn(repairHours, operatorFailureRate) : 0;
  const distributions = Array.from(groups, ([operator, ids]) => {
    const providers = Map.groupBy(ids, (id) => id);
    const alone = spread(
      Array.from(providers, ([id, { length }]) => chances(failureIn(repairHours, annualFailureRateOf(id)), length)),
    );
    if (operator.startsWith('\0')) return alone;
    return alone.map((chance, lost) => chance * (1 - operatorFails) + (lost === ids.length ? operatorFails : 0));
  });
  const bearable = m - (shardCount - providers.length);
  return bearable < 0 ? 1 : overYear(tail(spread(distributions), bearable), repairHours);
}

/** The chance to fail within so many hours, for what fails at a constant rate. */
function failureIn(hours: number, annualFailureRate: number): number {
  return -Math.expm1((hours / yearHours) * Math.log1p(-annualFailureRate));
}

/** Of a provider with so many shards: they are lost together. */
function chances(p: number, shards: number): number[] {
  return [1 - p, ...new Array<number>(shards - 1).fill(0), p];
}

/** How many are lost together, where each entry says how likely 0, 1, ... of its own are. */
function spread(distributions: readonly (readonly number[])[]): number[] {
  let sum = [1];
  for (const distribution of distributions) {
    const next = new Array<number>(sum.length + distribution.length - 1).fill(0);
    for (const [a, chanceA] of sum.entries()) {
      for (const [b, chanceB] of distribution.entries()) next[a + b]! += chanceA * chanceB;
    }
    sum = next;
  }
  return sum;
}

/** From the smallest up, so that nothing small is lost. */
function tail(distribution: readonly number[], m: number): number {
  let sum = 0;
  for (let lost = distribution.length - 1; lost > m; lost--) sum += distribution[lost]!;
  return sum;
}

function overYear(perWindow: number, windowHours: number): number {
  if (perWindow >= 1) return 1;
  return -Math.expm1((yearHours / windowHours) * Math.log1p(-perWindow));
}
