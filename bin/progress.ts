const intervalMs = 1_000;

/** Says on standard error how far a long command has come, at most once a second. */
export function createProgress(): {
  show(step: string, count: number): void;
  /** Says where the last step ended. */
  end(): void;
} {
  let shownAtMs = 0;
  let last: string | undefined;
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  return {
    show(step, count) {
      last = `${step}: ${count}`;
      if (performance.now() - shownAtMs < intervalMs) return;
      shownAtMs = performance.now();
      say(last);
      last = undefined;
    },
    end() {
      if (last !== undefined) say(last);
    },
  };
}
