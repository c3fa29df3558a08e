import { registerHooks } from 'node:module';
import { relative } from 'node:path';
import type { DiskEvent } from './simulated-disk.ts';

/** Notes what the providers' code does to the files below a folder, once `recordProviderFiles` was called. */
class DiskRecorder {
  #root: string | undefined;
  #events: DiskEvent[] = [];
  #tickets = 0;

  start(root: string): void {
    this.#root = root;
    this.#events = [];
  }

  stop(): DiskEvent[] {
    this.#root = undefined;
    return this.#events;
  }

  /** How many events there are by now. */
  get length(): number {
    return this.#events.length;
  }

  note(event: DiskEvent): void {
    if (this.#root !== undefined) this.#events.push(event);
  }

  drawTicket(): number {
    return this.#tickets++;
  }

  pathOf(path: string): string {
    return this.#root === undefined ? path : relative(this.#root, path);
  }
}

export const diskRecorder = new DiskRecorder();

/** From now on modules of the providers that are loaded get file functions that tell the recorder what they do. */
export function recordProviderFiles(): void {
  const replacements: Record<string, string> = {
    'node:fs': new URL('recording-fs.ts', import.meta.url).href,
    'node:fs/promises': new URL('recording-fs-promises.ts', import.meta.url).href,
  };
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const isProvider = context.parentURL?.includes('/placement/providers/') ?? false;
      const replacement = isProvider ? replacements[specifier] : undefined;
      return nextResolve(replacement ?? specifier, context);
    },
  });
}
