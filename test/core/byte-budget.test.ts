import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ByteBudget, type Lease } from '../../core/byte-budget.ts';
import { isFailure } from '../../core/failure.ts';
import { Metrics } from '../../core/metrics.ts';

describe('a byte budget', () => {
  let metrics: Metrics;
  let budget: ByteBudget;
  beforeEach(() => {
    metrics = new Metrics();
    budget = new ByteBudget({ name: 'test', capacityBytes: 100, waitMs: 20, metrics });
  });

  async function gauges(): Promise<number[]> {
    const read = async (gauge: Metrics['budgetBytes']): Promise<number> => (await gauge.get()).values[0]?.value ?? -1;
    return [await read(metrics.budgetBytes), await read(metrics.budgetWaiting)];
  }

  it('gives what is there at once, and takes it back once', async () => {
    const lease = await budget.acquire(60);
    await budget.acquire(40);
    assert.deepEqual(await gauges(), [100, 0]);
    lease.release();
    lease.release();
    assert.equal(budget.takenBytes, 40);
    assert.equal(lease.bytes, 0);
  });

  it('lets the first come be the first served, however small the others are', async () => {
    const held = await budget.acquire(90);
    const order: string[] = [];
    const large = budget.acquire(50).then((lease) => {
      order.push('large');
      return lease;
    });
    const small = budget.acquire(5).then((lease) => {
      order.push('small');
      return lease;
    });
    assert.equal(budget.tryAcquire(5), undefined, 'nobody may overtake');
    assert.deepEqual(await gauges(), [90, 2]);
    held.release();
    await Promise.all([large, small]);
    assert.deepEqual(order, ['large', 'small']);
    assert.deepEqual(await gauges(), [55, 0]);
  });

  it('admits others as a lease shrinks', async () => {
    const held = await budget.acquire(100);
    const waiting = budget.acquire(30);
    held.shrink(80);
    assert.equal(budget.waiting, 1);
    held.shrink(70);
    assert.equal((await waiting).bytes, 30);
    held.shrink(90);
    assert.equal(held.bytes, 70, 'a lease never grows');
  });

  it('refuses whoever waited too long, and then serves those behind', async () => {
    const held = await budget.acquire(60);
    const late = assert.rejects(budget.acquire(80), (error) => {
      assert.ok(isFailure(error, 'overloaded'));
      assert.deepEqual(error.detail, { resource: 'test', waitedMs: 20 });
      return true;
    });
    const behind = budget.acquire(40);
    await late;
    assert.equal((await behind).bytes, 40);
    held.release();
    assert.deepEqual(await gauges(), [40, 0]);
  });

  it('lets go of whoever gives up', async () => {
    await budget.acquire(100);
    const controller = new AbortController();
    const waiting = budget.acquire(1, controller.signal);
    const reason = new Error('enough');
    controller.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(budget.acquire(1, controller.signal), reason);
    assert.equal(budget.waiting, 0);
  });

  it('refuses what it could never give', async () => {
    await assert.rejects(budget.acquire(101), RangeError);
    await assert.rejects(budget.acquire(Number.NaN), RangeError);
  });

  it('never gives more than it has, whoever comes and goes', async () => {
    const leases = new Set<Lease>();
    let most = 0;
    const work = Array.from({ length: 200 }, async (_, turn) => {
      const lease = await budget.acquire((turn * 37) % 60);
      leases.add(lease);
      most = Math.max(
        most,
        [...leases].reduce((sum, each) => sum + each.bytes, 0),
      );
      await new Promise((resolve) => setImmediate(resolve));
      leases.delete(lease);
      lease.release();
    });
    const outcomes = await Promise.allSettled(work);
    assert.ok(outcomes.some((outcome) => outcome.status === 'fulfilled'));
    assert.ok(most <= 100 && most > 50, `${most} bytes at once`);
    assert.deepEqual(await gauges(), [0, 0]);
  });
});
