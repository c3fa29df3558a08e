import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isFailure } from '../../core/failure.ts';
import type { ProviderId } from '../../core/model.ts';
import { FaultSchedule, type Mood, moods } from '../../placement/providers/fault-schedule.ts';
import { createFaultyProvider, type Fault } from '../../placement/providers/faulty-provider.ts';
import { createMemoryProvider } from '../../placement/providers/memory-provider.ts';
import { type ProviderCall, providerCalls } from '../../placement/providers/wrapped-provider.ts';
import { nameOf } from './provider-conformance.ts';

const anyCalls = fc.array(fc.constantFrom<ProviderCall>(...providerCalls), { minLength: 500, maxLength: 500 });

function faultsIn(mood: Mood, call: ProviderCall, count = 500): Set<Fault | undefined> {
  const schedule = new FaultSchedule({ seed: 5, phases: [{ mood, calls: 100 }] });
  return new Set(Array.from({ length: count }, () => schedule.take(call)));
}

describe('a schedule of faults', () => {
  it('does the same to the same calls, and something else with another seed', () => {
    fc.assert(
      fc.property(fc.integer(), anyCalls, (seed, calls) => {
        const live = (each: number) => {
          const schedule = new FaultSchedule({ seed: each });
          return calls.map((call) => schedule.take(call));
        };
        assert.deepEqual(live(seed), live(seed));
        assert.notDeepEqual(live(seed), live(seed + 1));
      }),
      { numRuns: 20 },
    );
  });

  it('plans nothing that cannot happen to the call, and all of it at last', () => {
    const met = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const schedule = new FaultSchedule({ seed });
      const { faults } = createFaultyProvider(createMemoryProvider({ id: 'm1' as ProviderId }));
      for (let turn = 0; turn < 1_000; turn++) {
        const call = providerCalls[turn % providerCalls.length]!;
        const fault = schedule.take(call);
        if (fault === undefined) continue;
        faults.next(call, fault);
        met.add(typeof fault === 'object' ? 'slow' : fault);
      }
    }
    const all = ['503', 'error', 'flip', 'full', 'hang', 'lose', 'missing', 'slow', 'truncate', 'wrong-shard'];
    assert.deepEqual([...met].sort(), all);
  });

  it('keeps to its phases, one after the other', () => {
    const phases = moods.map((mood) => ({ mood, calls: 3 }));
    const schedule = new FaultSchedule({ seed: 1, phases });
    const lived = Array.from({ length: 6 * moods.length }, () => {
      const { mood } = schedule;
      schedule.take('readShard');
      return mood;
    });
    const expected = moods.flatMap((mood) => [mood, mood, mood]);
    assert.deepEqual(lived, [...expected, ...expected]);
  });

  it('lies about what is read, or about what is kept, and not about both', () => {
    assert.deepEqual(faultsIn('lying', 'putShard'), new Set([undefined]));
    assert.deepEqual(
      faultsIn('lying', 'readShard'),
      new Set([undefined, 'flip', 'truncate', 'wrong-shard', 'missing']),
    );
    assert.deepEqual(faultsIn('forgetful', 'readShard'), new Set([undefined]));
    assert.deepEqual(faultsIn('forgetful', 'putShard'), new Set([undefined, 'lose', 'flip', 'truncate']));
    assert.deepEqual(faultsIn('full', 'readShard'), new Set([undefined]));
    assert.deepEqual(faultsIn('full', 'putShard'), new Set(['full']));
  });

  it('is followed until the provider is well again, after what is planned by number, and is counted', async () => {
    const provider = createFaultyProvider(createMemoryProvider({ id: 'm1' as ProviderId }));
    const bytes = Buffer.alloc(10);
    const cid = nameOf(bytes);
    provider.faults.follow(new FaultSchedule({ seed: 1, phases: [{ mood: 'dead', calls: 1 }] }));
    provider.faults.next('putShard', 'full');
    await assert.rejects(provider.putShard(cid, [bytes]), (error) => isFailure(error, 'provider-full'));
    await assert.rejects(provider.putShard(cid, [bytes]), (error) => isFailure(error, 'provider-error'));
    provider.faults.clear();
    await provider.putShard(cid, [bytes]);
    assert.deepEqual(Object.fromEntries(provider.faults.counts), { full: 1, error: 1 });
  });
});
