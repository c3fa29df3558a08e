import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { markDurableStep } from '../../core/durable-steps.ts';
import { closeFile, hasErrorCode, openFile, syncFile, syncFolder, writeFully } from './durable-files.ts';

const rootName = 'root';
const newRootName = 'root.new';

/** The root of a provider's directory: a file that is only ever replaced as a whole. Roots are written one at a time. */
export class DirectoryRoot {
  readonly #path: string;
  readonly #checkDirectory: () => Promise<void>;
  #writing: Promise<void> = Promise.resolve();

  /** @param parts.checkDirectory throws when the directory at `path` is not the provider's any more */
  constructor(parts: { path: string; checkDirectory: () => Promise<void> }) {
    this.#path = parts.path;
    this.#checkDirectory = parts.checkDirectory;
  }

  /** @returns undefined where there is none. The buffer belongs to the caller. */
  async read(): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.#path, rootName));
    } catch (error) {
      if (hasErrorCode(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** Resolves once the new root is durable; at every moment there is the old one or the new one. */
  write(bytes: Uint8Array): Promise<void> {
    const copy = Buffer.from(bytes);
    const writing = this.#writing.catch(() => {}).then(() => this.#replace(copy));
    this.#writing = writing;
    return writing;
  }

  async #replace(bytes: Uint8Array): Promise<void> {
    await this.#checkDirectory();
    const fd = await openFile(join(this.#path, newRootName), 'w', 0o600);
    try {
      await writeFully(fd, [bytes]);
      await syncFile(fd);
    } finally {
      closeFile(fd);
    }
    await rename(join(this.#path, newRootName), join(this.#path, rootName));
    markDurableStep('root-renamed');
    await syncFolder(this.#path);
  }
}
