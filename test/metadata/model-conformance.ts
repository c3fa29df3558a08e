import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createBucket, createClock, type MakeStore } from './metadata-fixtures.ts';
import { anyStep } from './model-steps.ts';
import { ModelWalk } from './model-walk.ts';

const maxSteps = 40;

export function testAgainstModel(make: MakeStore, runCount: number): void {
  describe('against a model', () => {
    it('comes to what plain lists come to, whatever is done to a bucket', async () => {
      const steps = fc.array(anyStep, { minLength: 5, maxLength: maxSteps, size: 'max' });
      const property = fc.asyncProperty(steps, async (all) => {
        const { store, cleanUp } = await make({ clock: createClock() });
        try {
          await createBucket(store);
          const walk = new ModelWalk(store);
          for (const step of all) await walk.take(step);
          await walk.checkWhole();
        } finally {
          await cleanUp();
        }
      });
      await fc.assert(property, { numRuns: runCount });
    });
  });
}
