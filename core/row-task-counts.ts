import type Registry from 'prom-client/lib/registry.js';
import { TalliedFigures } from './tallied-figures.ts';

/** What is done with rows of large objects that a thread can do: to seal, code and digest one, or to open its packages. */
export type RowTaskName = 'code' | 'open';

interface RowTaskCount {
  readonly thread: { value: number };
  readonly inline: { value: number };
}

/** Where work on rows of large objects was done. */
export class RowTaskCounts implements Readonly<Record<RowTaskName, RowTaskCount>> {
  readonly code: RowTaskCount;
  readonly open: RowTaskCount;

  constructor(registry: Registry) {
    const figures = new TalliedFigures({
      type: 'counter',
      name: 'holdfast_row_tasks_total',
      help: 'Rows of large objects by task, code (seal, code and digest) or open, and where that was done: in a thread, or inline (by the thread of the event loop)',
      labelNames: ['task', 'where'] as const,
      registers: [registry],
    });
    const count = (task: RowTaskName): RowTaskCount => ({
      thread: figures.series({ task, where: 'thread' }),
      inline: figures.series({ task, where: 'inline' }),
    });
    this.code = count('code');
    this.open = count('open');
  }
}
