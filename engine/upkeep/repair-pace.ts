import type { MetadataStore } from '../../metadata/metadata-store.ts';

const settingName = 'local:repair-pace';
/** What is older than so much work counts for little. */
const memorySeconds = 3_600;

/** How fast repair rebuilds, as measured while it had work; remembered over restarts. */
export class RepairPace {
  #bytes = 0;
  #seconds = 0;
  #isChanged = false;
  #isLoaded = false;

  /** Adds what was rebuilt in some time of work. */
  note(bytes: number, seconds: number): void {
    const keep = Math.exp(-seconds / memorySeconds);
    this.#bytes = this.#bytes * keep + bytes;
    this.#seconds = this.#seconds * keep + seconds;
    this.#isChanged = true;
  }

  /** Bytes of lost shards that are rebuilt in a second; undefined where nothing was measured. */
  bytesPerS(): number | undefined {
    return this.#seconds > 0 && this.#bytes > 0 ? this.#bytes / this.#seconds : undefined;
  }

  /** Recalls what was saved, once. */
  async load(metadata: MetadataStore): Promise<void> {
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    const text = await metadata.findSetting(settingName);
    const match = /^(\d+(?:\.\d+)?) (\d+(?:\.\d+)?)$/.exec(text ?? '');
    if (match === null || this.#seconds > 0) return;
    this.#bytes = Number(match[1]);
    this.#seconds = Number(match[2]);
  }

  async save(metadata: MetadataStore): Promise<void> {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    await metadata.putSetting(settingName, `${this.#bytes.toFixed(3)} ${this.#seconds.toFixed(3)}`);
  }
}
