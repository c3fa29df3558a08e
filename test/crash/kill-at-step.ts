import { writeSync } from 'node:fs';
import { type DurableStep, durableStepChannel } from '../../core/durable-steps.ts';

// Loaded before a gateway (`node --import`): the process kills itself when it comes to a durable step for the n-th time,
// right there, with all that other threads are at. `environmentOf` in kill-plan.ts sets the variables.

const { HOLDFAST_CRASH_STEP: step, HOLDFAST_CRASH_COUNT: count } = process.env;
let left = Number(count);

durableStepChannel.subscribe((message) => {
  if ((message as DurableStep) !== step) return;
  left -= 1;
  if (left > 0) return;
  // The last line of the log, so that whoever waits knows that it happened here.
  writeSync(2, `killed at ${step}\n`);
  process.kill(process.pid, 'SIGKILL');
  // A signal to oneself has come when kill(2) returns, if one's own thread does not block it: nothing below runs.
});
