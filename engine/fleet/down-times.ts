import type { Clock } from '../../core/clock.ts';
import type { ProviderId } from '../../core/model.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';

const settingName = 'local:down-providers';
/** While a provider is down it is noted so often how long that has been: a crash of this process costs as much at most. */
const noteMs = 60_000;

interface Saved {
  readonly sinceMs: number;
  /** When it was last seen to be down. */
  readonly seenMs: number;
}

/**
 * Since when providers have been down, kept in the metadata store so that a restart does not begin to count anew. Only the time counts in which
 * a gateway saw it: one that was off for a night says nothing of how its providers did.
 */
export class DownTimes {
  readonly #metadata: Pick<MetadataStore, 'findSetting' | 'putSetting'>;
  readonly #clock: Clock;
  /** Who was down when that was last saved, and since when. */
  #saved = new Map<ProviderId, number>();
  #savedAtMs = 0;

  constructor(parts: { metadata: Pick<MetadataStore, 'findSetting' | 'putSetting'>; clock: Clock }) {
    this.#metadata = parts.metadata;
    this.#clock = parts.clock;
  }

  /** Who was down when this process took over, and since when by now. What cannot be understood counts as nothing. */
  async load(): Promise<ReadonlyMap<ProviderId, number>> {
    const nowMs = this.#clock.now();
    const saved = parseSaved(await this.#metadata.findSetting(settingName));
    const sinceMs = new Map(
      Array.from(saved, ([id, { sinceMs, seenMs }]) => [id, nowMs - Math.max(seenMs - sinceMs, 0)]),
    );
    this.#saved = new Map(sinceMs);
    return sinceMs;
  }

  /**
   * Saves who is down, if that is not known yet.
   *
   * @param isLast whether this process ends
   */
  async note(down: ReadonlyMap<ProviderId, number>, isLast = false): Promise<void> {
    const nowMs = this.#clock.now();
    const isOther =
      down.size !== this.#saved.size || [...down].some(([id, sinceMs]) => this.#saved.get(id) !== sinceMs);
    const isDue = down.size > 0 && (isLast || Math.abs(nowMs - this.#savedAtMs) >= noteMs);
    if (!isOther && !isDue) return;
    const entries = Array.from(down, ([id, sinceMs]): [string, Saved] => [id, { sinceMs, seenMs: nowMs }]);
    await this.#metadata.putSetting(settingName, JSON.stringify(Object.fromEntries(entries)));
    this.#saved = new Map(down);
    this.#savedAtMs = nowMs;
  }
}

function parseSaved(text: string | undefined): Map<ProviderId, Saved> {
  const saved = new Map<ProviderId, Saved>();
  try {
    for (const [id, each] of Object.entries(JSON.parse(text ?? '{}') as Record<string, Saved>)) {
      if (Number.isFinite(each.sinceMs) && Number.isFinite(each.seenMs)) saved.set(id as ProviderId, each);
    }
  } catch {
    saved.clear();
  }
  return saved;
}
