import type Registry from 'prom-client/lib/registry.js';
import { TalliedFigures } from './tallied-figures.ts';

/** What a thread can do: to seal, code and digest a row of a large object, the same for a pack of small ones, or to open the packages of a row. */
export type RowTaskName = 'code' | 'pack' | 'open';

interface RowTaskCount {
  readonly thread: { value: number };
  readonly inline: { value: number };
}

/** Where work on rows and packs was done. */
export class RowTaskCounts implements Readonly<Record<RowTaskName, RowTaskCount>> {
  readonly code: RowTaskCount;
  readonly pack: RowTaskCount;
  readonly open: RowTaskCount;

  constructor(registry: Registry) {
    const figures = new TalliedFigures({
      type: 'counter',
      name: 'holdfast_row_tasks_total',
      help: 'Rows by task, code (seal, code and digest one of a large object), pack (the same for small objects that share one) or open, and where that was done: in a thread, or inline (by the thread of the event loop)',
      labelNames: ['task', 'where'] as const,
      registers: [registry],
    });
    const count = (task: RowTaskName): RowTaskCount => ({
      thread: figures.series({ task, where: 'thread' }),
      inline: figures.series({ task, where: 'inline' }),
    });
    this.code = count('code');
    this.pack = count('pack');
    this.open = count('open');
  }
}
