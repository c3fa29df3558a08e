import type { ProviderId, StripeId } from '../../../core/model.ts';
import { stripeTimeMs } from '../../../erasure/stripe-id.ts';
import type { MetadataStore } from '../../../metadata/metadata-store.ts';

const settingName = 'local:scrub';
/** Enough that a mark is at most half a percent of a round away. */
const maxMarks = 256;

/** When a round came by a stripe. */
interface Mark {
  readonly id: StripeId;
  readonly atMs: number;
}

/** Stripes of which a provider's shards could not be read when the round came by. */
export interface Backlog {
  readonly fromId: StripeId;
  readonly toId: StripeId;
  /** When the first of them was read before that. */
  readonly sinceMs: number;
}

interface Saved {
  readonly startedAtMs: number;
  /** Absent before the second round. */
  readonly startedBeforeMs?: number;
  readonly cursor: StripeId | null;
  readonly doneBytes: number;
  readonly marks: readonly Mark[];
  readonly marksBefore: readonly Mark[];
  readonly backlogs: Readonly<Record<string, Backlog>>;
}

/**
 * How far scrub has come, kept in the metadata store so that a restart goes on from there. A round walks all stripes in order of
 * id; sparse marks say when it was where, so that the age of what it has yet to reach is known.
 */
export class ScrubState {
  readonly #metadata: MetadataStore;
  #startedAtMs = 0;
  /** When the round before this one began. */
  #startedBeforeMs = 0;
  /** The last stripe that the round has dealt with. */
  #cursor: StripeId | undefined;
  #doneBytes = 0;
  #marks: Mark[] = [];
  #marksBefore: readonly Mark[] = [];
  readonly #backlogs = new Map<ProviderId, Backlog>();
  #isLoaded = false;

  constructor(metadata: MetadataStore) {
    this.#metadata = metadata;
  }

  get startedAtMs(): number {
    return this.#startedAtMs;
  }

  get cursor(): StripeId | undefined {
    return this.#cursor;
  }

  /** Bytes of shards that the round has dealt with. */
  get doneBytes(): number {
    return this.#doneBytes;
  }

  get backlogs(): ReadonlyMap<ProviderId, Backlog> {
    return this.#backlogs;
  }

  /** Recalls what was saved, once; what cannot be understood begins anew. */
  async load(nowMs: number): Promise<void> {
    if (this.#isLoaded) return;
    const text = await this.#metadata.findSetting(settingName);
    this.#isLoaded = true;
    const saved = text === undefined ? undefined : parseSaved(text);
    this.#startedAtMs = saved?.startedAtMs ?? nowMs;
    if (saved === undefined) return;
    this.#startedBeforeMs = saved.startedBeforeMs ?? 0;
    this.#cursor = saved.cursor ?? undefined;
    this.#doneBytes = saved.doneBytes;
    this.#marks = [...saved.marks];
    this.#marksBefore = saved.marksBefore;
    for (const [id, backlog] of Object.entries(saved.backlogs)) this.#backlogs.set(id as ProviderId, backlog);
  }

  async save(): Promise<void> {
    const saved: Saved = {
      startedAtMs: this.#startedAtMs,
      startedBeforeMs: this.#startedBeforeMs,
      cursor: this.#cursor ?? null,
      doneBytes: this.#doneBytes,
      marks: this.#marks,
      marksBefore: this.#marksBefore,
      backlogs: Object.fromEntries(this.#backlogs),
    };
    await this.#metadata.putSetting(settingName, JSON.stringify(saved));
  }

  /** The round has dealt with all stripes up to `id`. */
  advance(id: StripeId, bytes: number, nowMs: number): void {
    this.#cursor = id;
    this.#doneBytes += bytes;
    this.#marks.push({ id, atMs: nowMs });
    // Every second one goes, so that what is left is spread over the round; the last one says how far it came.
    if (this.#marks.length > maxMarks) this.#marks = this.#marks.filter((_, index) => index % 2 === 0);
  }

  beginRound(nowMs: number): void {
    this.#startedBeforeMs = this.#startedAtMs;
    this.#startedAtMs = nowMs;
    this.#cursor = undefined;
    this.#doneBytes = 0;
    this.#marksBefore = this.#marks;
    this.#marks = [];
  }

  /**
   * A provider's shard of the stripe could not be read now.
   *
   * @param sinceMs when it was read last, at the earliest
   */
  postpone(provider: ProviderId, id: StripeId, sinceMs: number): void {
    this.restore(provider, { fromId: id, toId: id, sinceMs });
  }

  /** Takes a backlog, to work on it: what of it is left is given back with `postpone` and `restore`. */
  takeBacklog(provider: ProviderId): Backlog | undefined {
    const backlog = this.#backlogs.get(provider);
    this.#backlogs.delete(provider);
    return backlog;
  }

  restore(provider: ProviderId, { fromId, toId, sinceMs }: Backlog): void {
    const known = this.#backlogs.get(provider);
    this.#backlogs.set(provider, {
      fromId: known !== undefined && known.fromId < fromId ? known.fromId : fromId,
      toId: known !== undefined && known.toId > toId ? known.toId : toId,
      sinceMs: Math.min(known?.sinceMs ?? sinceMs, sinceMs),
    });
  }

  /**
   * When a stripe that the round has yet to reach was read last, or else written; not later than it was. What the last round found
   * unreadable has a backlog, which knows better.
   */
  lastReadMs(id: StripeId): number {
    const writtenMs = stripeTimeMs(id);
    // What lies beyond the last round's end was not there when it came by.
    if ((this.#marksBefore.at(-1)?.id ?? '') < id) return writtenMs;
    // The stripe of a mark itself was read before the mark was made, as was any before it.
    const mark = this.#marksBefore.findLast((each) => each.id < id);
    return Math.max(mark?.atMs ?? this.#startedBeforeMs, writtenMs);
  }

  /** Where the last round came to its end; what is beyond has never been reached. */
  get endBefore(): StripeId | undefined {
    return this.#marksBefore.at(-1)?.id;
  }

  /**
   * When the shard was read that was not read for longest; not later than it was.
   *
   * @param nextId the stripe that the round comes to next
   * @param beyondId the first stripe after `endBefore`
   */
  oldestMs(nextId: StripeId | undefined, beyondId: StripeId | undefined): number | undefined {
    const times = [...this.#backlogs.values()].map(({ sinceMs }) => sinceMs);
    if (nextId !== undefined) times.push(this.lastReadMs(nextId));
    if (beyondId !== undefined && beyondId > (this.#cursor ?? '')) times.push(stripeTimeMs(beyondId));
    if (this.#cursor !== undefined) times.push(this.#startedAtMs);
    return times.length === 0 ? undefined : Math.min(...times);
  }
}

function parseSaved(text: string): Saved | undefined {
  try {
    const saved = JSON.parse(text) as Saved;
    const isWhole = Array.isArray(saved.marks) && Array.isArray(saved.marksBefore) && saved.backlogs !== null;
    return isWhole && Number.isFinite(saved.startedAtMs) && Number.isFinite(saved.doneBytes) ? saved : undefined;
  } catch {
    return undefined;
  }
}
