import type { Log } from '../../core/log.ts';
import type { UpkeepTask } from './upkeep-task.ts';

interface TaskState {
  readonly task: UpkeepTask;
  dueAtMs: number;
  timer: NodeJS.Timeout | undefined;
  /** The work under way; whoever comes next waits for it. */
  running: Promise<unknown>;
}

/** The longest delay that a timer takes. */
const maxTimerMs = 2 ** 31 - 1;

/** Runs tasks, each in its own time. */
export class TaskRunner {
  readonly #states: readonly TaskState[];
  readonly #log: Log;
  readonly #failureDelayMs: number;
  readonly #controller = new AbortController();
  #isStarted = false;

  /** @param parts.failureDelayMs how long a task that threw rests */
  constructor(parts: { tasks: readonly UpkeepTask[]; log: Log; failureDelayMs: number }) {
    this.#log = parts.log;
    this.#failureDelayMs = parts.failureDelayMs;
    this.#states = parts.tasks.map((task) => ({
      task,
      dueAtMs: performance.now() + task.firstDelayMs,
      timer: undefined,
      running: Promise.resolve(),
    }));
  }

  /** Ends all work when the runner stops. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Begins to work; never keeps the process alive. */
  start(): void {
    this.#isStarted = true;
    for (const state of this.#states) this.#schedule(state);
  }

  /** Makes a task due now. One that is running runs again at once. */
  kick(name: string): void {
    const state = this.#find(name);
    state.dueAtMs = 0;
    this.#schedule(state);
  }

  /** Does some work of a task, once what it is doing has ended. */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#enqueue(this.#find(name), work);
  }

  /** Ends the work under way and waits for it. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    for (const { timer } of this.#states) clearTimeout(timer);
    this.#controller.abort(new DOMException('Upkeep was stopped', 'AbortError'));
    await Promise.allSettled(this.#states.map((state) => state.running));
  }

  #find(name: string): TaskState {
    const state = this.#states.find(({ task }) => task.name === name);
    if (state === undefined) throw new Error(`there is no task ${name}`);
    return state;
  }

  #enqueue<T>(state: TaskState, work: () => Promise<T>): Promise<T> {
    const result = state.running.catch(() => {}).then(work);
    state.running = result;
    return result;
  }

  #schedule(state: TaskState): void {
    if (!this.#isStarted) return;
    clearTimeout(state.timer);
    const delayMs = Math.min(Math.max(state.dueAtMs - performance.now(), 0), maxTimerMs);
    state.timer = setTimeout(() => void this.#turn(state), delayMs);
    state.timer.unref();
  }

  async #turn(state: TaskState): Promise<void> {
    await this.#enqueue(state, async () => {
      if (state.dueAtMs <= performance.now() && !this.signal.aborted) await this.#run(state);
    });
    this.#schedule(state);
  }

  async #run(state: TaskState): Promise<void> {
    // A kick that comes while the task runs must not be lost.
    state.dueAtMs = Number.POSITIVE_INFINITY;
    let delayMs = this.#failureDelayMs;
    try {
      delayMs = await state.task.run(this.signal);
    } catch (error) {
      if (!this.signal.aborted) this.#log.error({ task: state.task.name, err: error }, 'upkeep failed');
    }
    state.dueAtMs = Math.min(state.dueAtMs, performance.now() + delayMs);
  }
}
