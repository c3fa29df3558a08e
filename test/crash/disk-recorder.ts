import { registerHooks } from 'node:module';
import { relative } from 'node:path';
import type { DiskEvent } from './simulated-disk.ts';

/** Notes what is done to the files below a folder by modules that were loaded after `recordFiles`. */
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

const recordedFolders = ['../../placement/providers/', '../../bin/'].map((path) => new URL(path, import.meta.url).href);
const replacements: Readonly<Record<string, string>> = {
  'node:fs': new URL('recording-fs.ts', import.meta.url).href,
  'node:fs/promises': new URL('recording-fs-promises.ts', import.meta.url).href,
};

/** From now on modules of providers and programs that are loaded get file functions that tell the recorder what they do. */
export function recordFiles(): void {
  registerHooks({
    resolve(specifier, { parentURL = '', ...context }, nextResolve) {
      const isRecorded = recordedFolders.some((folder) => parentURL.startsWith(folder));
      const replacement = isRecorded ? replacements[specifier] : undefined;
      return nextResolve(replacement ?? specifier, { ...context, parentURL });
    },
  });
}
