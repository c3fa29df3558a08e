/**
 * One kind of work in the background. Tasks run side by side, so that an urgent one never waits behind a long one; a task
 * never runs twice at the same time. What two of them must not do to one stripe or one shard at once is kept apart by the locks in
 * `EngineParts`.
 */
export interface UpkeepTask {
  /** Such as `repair`: for logs, and for `kick`. */
  readonly name: string;
  /** From the start to the first run. */
  readonly firstDelayMs: number;
  /**
   * Does a bounded piece of the work and resolves to how many milliseconds later it wants its next turn: 0 where there is more
   * to do at once. What throws is logged and tried again later. An aborted signal ends it soon.
   */
  run(signal: AbortSignal): Promise<number>;
}
