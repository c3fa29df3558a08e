import type { ProviderId } from '../../core/model.ts';
import type { EngineParts } from '../engine-parts.ts';
import { countHeld } from '../fleet/count-held.ts';
import { annualLoss, type FleetLoss, fleetLoss } from './durability-model.ts';

/** Of a provider of which nothing better is known: prudent for a whole machine of somebody else. */
const defaultFailureRate = 0.05;
/** That an operator goes with all that it runs. */
const defaultOperatorFailureRate = 0.01;
const hourMs = 3_600_000;

/** What an operator assumes; what is left out is measured, or as a rule. */
export interface DurabilityQuestion {
  /** The chance that a provider is lost within a year, above 0 and below 1. */
  readonly annualFailureRate?: number | undefined;
  /** The same for single providers, which are known better. */
  readonly failureRates?: Readonly<Record<string, number>> | undefined;
  readonly operatorFailureRate?: number | undefined;
  /** From the loss of a provider until all its shards are rebuilt. */
  readonly repairHours?: number | undefined;
}

/** Where the time that a repair takes comes from. */
export type RepairTimeSource = 'given' | 'measured' | 'configured';

export interface DurabilityReport {
  readonly annualFailureRate: number;
  readonly operatorFailureRate: number;
  readonly repairHours: number;
  /** `measured`: from how fast repair was; `configured`: from how fast it may be, since it had nothing to do yet. */
  readonly repairTimeFrom: RepairTimeSource;
  /** Lost bytes that are rebuilt in a second, by which the fullest provider is rebuilt. */
  readonly repairBytesPerS: number;
  readonly fullestProviderBytes: number;
  /** By the plain model: the chance that a stripe is lost within a year, for k+m providers that fail alone and alike. */
  readonly profiles: readonly {
    readonly name: string;
    readonly k: number;
    readonly m: number;
    readonly annualLoss: number;
  }[];
  readonly stripes: number;
  /** Of the stripes as they lie, where providers fail alone. */
  readonly alone: FleetLoss;
  /** The same where operators fail too, with all that they run. */
  readonly withOperators: FleetLoss;
}

/** Computes how likely loss is for this fleet (docs/durability.md). */
export async function reportDurability(
  { metadata, fleet, profiles, limits }: EngineParts,
  question: DurabilityQuestion,
  measuredBytesPerS: number | undefined,
): Promise<DurabilityReport> {
  const { annualFailureRate = defaultFailureRate, operatorFailureRate = defaultOperatorFailureRate } = question;
  const placements = await metadata.listPlacements();
  const fullestProviderBytes = Math.max(0, ...Array.from(countHeld(placements).values(), ({ bytes }) => bytes));
  const maxK = Math.max(...profiles.map(({ k }) => k));
  // Each lost byte costs k that are read, one that is written, and one that is read back.
  const repairBytesPerS = measuredBytesPerS ?? limits.repairBytesPerS / (maxK + 2);
  const rebuildHours = fullestProviderBytes / repairBytesPerS / 3_600;
  const repairHours = question.repairHours ?? limits.lostAfterMs / hourMs + rebuildHours;
  const measured: RepairTimeSource = measuredBytesPerS === undefined ? 'configured' : 'measured';
  const losses = fleetLoss(placements, {
    annualFailureRateOf: (id: ProviderId) => question.failureRates?.[id] ?? annualFailureRate,
    repairHours,
    operatorOf: (id: ProviderId) => fleet.findRecord(id)?.operator ?? '',
    operatorFailureRate,
  });
  return {
    annualFailureRate,
    operatorFailureRate,
    repairHours,
    repairTimeFrom: question.repairHours === undefined ? measured : 'given',
    repairBytesPerS,
    fullestProviderBytes,
    profiles: profiles.map(({ name, k, m }) => {
      return { name, k, m, annualLoss: annualLoss({ shards: k + m, m, annualFailureRate, repairHours }) };
    }),
    stripes: placements.reduce((sum, { stripes }) => sum + stripes, 0),
    ...losses,
  };
}
