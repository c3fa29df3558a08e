import { type DurableStep, durableStepChannel } from '../../core/durable-steps.ts';

/** Calls `listener` with each durable step until the returned function is called. */
export function onDurableStep(listener: (step: DurableStep) => void): () => void {
  const subscriber = (step: unknown) => listener(step as DurableStep);
  durableStepChannel.subscribe(subscriber);
  return () => durableStepChannel.unsubscribe(subscriber);
}
