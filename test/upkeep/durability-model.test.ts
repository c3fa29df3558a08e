import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProviderId } from '../../core/model.ts';
import { annualLoss, fleetLoss } from '../../engine/upkeep/durability-model.ts';
import type { Placement } from '../../metadata/fleet-store.ts';

const yearHours = 8_766;

/** P[Binomial(n, p) > m], by the book. */
function binomialTail(n: number, p: number, m: number): number {
  let sum = 0;
  for (let failed = m + 1; failed <= n; failed++) {
    let ways = 1;
    for (let at = 1; at <= failed; at++) ways *= (n - failed + at) / at;
    sum += ways * p ** failed * (1 - p) ** (n - failed);
  }
  return sum;
}

function isClose(actual: number, expected: number, share = 1e-6): void {
  assert.ok(Math.abs(actual - expected) <= share * Math.max(actual, expected), `${actual}, not ${expected}`);
}

function placementOf(providers: readonly string[], k: number, m: number, stripes = 1): Placement {
  const base = { id: 1, profileName: 'STANDARD', k, m, shardCount: k + m, storedBytes: 1, stripes };
  return { ...base, providers: providers as readonly ProviderId[] };
}

const shape = fc.record({
  k: fc.integer({ min: 1, max: 20 }),
  m: fc.integer({ min: 0, max: 6 }),
  annualFailureRate: fc.double({ min: 0.001, max: 0.5, noNaN: true }),
  repairHours: fc.double({ min: 0.5, max: 500, noNaN: true }),
});

describe('the model of durability', () => {
  it('is the windows a year times P[Binomial(k+m, p) > m], where that is small', () =>
    fc.assert(
      fc.property(shape, ({ k, m, annualFailureRate, repairHours }) => {
        const p = 1 - (1 - annualFailureRate) ** (repairHours / yearHours);
        const expected = (yearHours / repairHours) * binomialTail(k + m, p, m);
        const actual = annualLoss({ shards: k + m, m, annualFailureRate, repairHours });
        assert.ok(actual >= 0 && actual <= 1);
        if (expected < 1e-4) isClose(actual, expected, 1e-3);
      }),
    ));

  it('loses two shards at one provider together', () => {
    const ask = (providers: readonly string[], m: number): number =>
      fleetLoss([placementOf(providers, providers.length - m, m)], {
        annualFailureRateOf: () => 0.05,
        repairHours: 24,
        operatorOf: () => '',
        operatorFailureRate: 0,
      }).alone.perStripe;
    // One loss is too much then.
    const doubled = ask(['a', 'b', 'c', 'c'], 1);
    assert.ok(doubled > 5 * ask(['a', 'b', 'c', 'd'], 1));
    isClose(doubled, annualLoss({ shards: 1, m: 0, annualFailureRate: 0.05, repairHours: 24 }), 0.01);
  });

  it('gives more hope with more parity, with quicker repair, and with better providers', () =>
    fc.assert(
      fc.property(shape, ({ k, m, annualFailureRate, repairHours }) => {
        const loss = annualLoss({ shards: k + m, m, annualFailureRate, repairHours });
        const slack = 1 + 1e-9;
        assert.ok(annualLoss({ shards: k + m + 1, m: m + 1, annualFailureRate, repairHours }) <= loss * slack);
        assert.ok(
          annualLoss({ shards: k + m, m, annualFailureRate: annualFailureRate / 2, repairHours }) <= loss * slack,
        );
        if (m > 0) {
          assert.ok(annualLoss({ shards: k + m, m, annualFailureRate, repairHours: repairHours / 2 }) <= loss * slack);
        }
      }),
    ));

  it('with m = 0 is the chance that one of k fails within the year, however long repair takes', () => {
    const loss = annualLoss({ shards: 4, m: 0, annualFailureRate: 0.05, repairHours: 12 });
    isClose(loss, 1 - 0.95 ** 4);
  });

  it('is the same for a fleet whose providers are alike', () =>
    fc.assert(
      fc.property(shape, ({ k, m, annualFailureRate, repairHours }) => {
        const ids = Array.from({ length: k + m }, (_, at) => `p${at}`);
        const { alone, withOperators } = fleetLoss([placementOf(ids, k, m)], {
          annualFailureRateOf: () => annualFailureRate,
          repairHours,
          operatorOf: () => '',
          operatorFailureRate: 0.5,
        });
        isClose(alone.perStripe, annualLoss({ shards: k + m, m, annualFailureRate, repairHours }));
        isClose(withOperators.perStripe, alone.perStripe);
        isClose(alone.anyStripe, Math.min(alone.perStripe, 1));
      }),
    ));

  it('counts an operator that holds more than m shards as the danger that it is, and one that does not as none alone', () => {
    const ids = ['a0', 'a1', 'a2', 'b0', 'b1', 'c0'];
    const assumptions = {
      annualFailureRateOf: () => 0.01,
      repairHours: 6,
      operatorOf: (id: ProviderId) => id[0]!,
      operatorFailureRate: 0.02,
    };
    const three = fleetLoss([placementOf(ids, 4, 2)], assumptions);
    assert.ok(three.withOperators.perStripe > 0.019, 'all three shards of a are lost with it');
    const two = fleetLoss([placementOf(['a0', 'a1', 'b0', 'b1', 'c0', 'd0'], 4, 2)], assumptions);
    assert.ok(two.withOperators.perStripe < 0.001);
    assert.ok(two.withOperators.perStripe > two.alone.perStripe);
  });

  it('counts what is lacking already, averages over stripes, and names the worst', () => {
    const assumptions = {
      annualFailureRateOf: () => 0.05,
      repairHours: 12,
      operatorOf: () => '',
      operatorFailureRate: 0,
    };
    const whole = placementOf(['a', 'b', 'c', 'd', 'e', 'f'], 4, 2, 3);
    const lacking = { ...placementOf(['a', 'b', 'c', 'd', 'e'], 4, 2, 1), id: 2 };
    const both = fleetLoss([whole, lacking], assumptions).alone;
    const worst = annualLoss({ shards: 5, m: 1, annualFailureRate: 0.05, repairHours: 12 });
    const best = annualLoss({ shards: 6, m: 2, annualFailureRate: 0.05, repairHours: 12 });
    isClose(both.worstStripe, worst);
    isClose(both.perStripe, (3 * best + worst) / 4);
    isClose(both.anyStripe, 1 - (1 - best) * (1 - worst));
    assert.equal(fleetLoss([{ ...lacking, providers: [] }], assumptions).alone.perStripe, 1, 'what is lost is lost');
    assert.equal(fleetLoss([], assumptions).alone.perStripe, 0);
  });

  it('is what the table in the documentation says', () => {
    const text = readFileSync(new URL('../../docs/durability.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| (\d+)\+(\d+) \| (\d+) % \| (\d+) h \| ([\d.e-]+) \|/gm)];
    assert.ok(rows.length >= 10);
    for (const [, k, m, rate, hours, loss] of rows) {
      const shards = Number(k) + Number(m);
      const model = { shards, m: Number(m), annualFailureRate: Number(rate) / 100, repairHours: Number(hours) };
      assert.equal(annualLoss(model).toExponential(1), loss);
    }
  });
});
