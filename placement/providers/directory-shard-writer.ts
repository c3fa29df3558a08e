import { unlink } from 'node:fs/promises';
import { markDurableStep } from '../../core/durable-steps.ts';
import type { ShardCid } from '../../core/model.ts';
import { closeFile, syncFile, writeFully } from './durable-files.ts';
import type { ShardWriter } from './provider.ts';
import type { ProviderCall } from './wrapped-provider.ts';

/** What a writer needs of the directory provider that made it. */
export interface ShardFolder {
  /** @throws Failure `provider-full` where so many bytes more would eat into the reserve */
  takeSpace(bytes: number): Promise<void>;
  /** Gives a file that is durable the shard's name, durably. */
  nameShard(temporaryPath: string, cid: ShardCid): Promise<void>;
  /** The `Failure` to throw for an error of the file system. */
  explain(call: ProviderCall, error: unknown): unknown;
}

/** Writes a shard to a temporary file, which `commit` syncs and then renames: a shard is visible whole or not at all. */
export class DirectoryShardWriter implements ShardWriter {
  readonly #folder: ShardFolder;
  readonly #fd: number;
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  /** The call on the file that is under way; the descriptor must not be closed before it ends. */
  #pending: Promise<void> | undefined;
  /** Settles when the writer is finished; set by the first `commit` or `abort`. */
  #finish: Promise<void> | undefined;

  constructor(parts: { folder: ShardFolder; fd: number; path: string; signal: AbortSignal | undefined }) {
    this.#folder = parts.folder;
    this.#fd = parts.fd;
    this.#path = parts.path;
    this.#signal = parts.signal;
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    this.#signal?.throwIfAborted();
    if (this.#finish !== undefined) throw new Error('this shard was already committed or aborted');
    this.#pending = this.#write(buffers);
    await this.#pending;
  }

  async #write(buffers: readonly Uint8Array[]): Promise<void> {
    try {
      await this.#folder.takeSpace(buffers.reduce((sum, buffer) => sum + buffer.length, 0));
      await writeFully(this.#fd, buffers);
    } catch (error) {
      throw this.#folder.explain('append', error);
    }
  }

  async commit(cid: ShardCid): Promise<void> {
    if (this.#finish !== undefined) throw new Error('this shard was already committed or aborted');
    this.#finish = this.#publish(cid);
    await this.#finish;
  }

  async #publish(cid: ShardCid): Promise<void> {
    let isOpen = true;
    try {
      this.#signal?.throwIfAborted();
      await syncFile(this.#fd);
      markDurableStep('file-flushed');
      closeFile(this.#fd);
      isOpen = false;
      this.#signal?.throwIfAborted();
      await this.#folder.nameShard(this.#path, cid);
    } catch (error) {
      if (isOpen) closeFile(this.#fd);
      await unlink(this.#path).catch(ignoreError);
      throw this.#signal?.aborted ? this.#signal.reason : this.#folder.explain('commit', error);
    }
  }

  async abort(): Promise<void> {
    this.#finish ??= this.#discard();
    await this.#finish.catch(ignoreError);
  }

  async #discard(): Promise<void> {
    await this.#pending?.catch(ignoreError);
    closeFile(this.#fd);
    await unlink(this.#path).catch(ignoreError);
  }
}

function ignoreError(): void {}
