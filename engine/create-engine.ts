import { ByteBudget } from '../core/byte-budget.ts';
import type { Clock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ETagKind, Profile, StripeId } from '../core/model.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import { Md5Lanes } from '../crypto/md5/md5-lanes.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';
import { maxBlockBytes, maxSingleBlockBytes } from '../erasure/geometry.ts';
import { encodeShardHeader } from '../erasure/shard-format.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Fleet } from '../placement/fleet.ts';
import { BlockReader } from './block-reader.ts';
import { createBuckets } from './buckets.ts';
import { completeUpload } from './complete-upload.ts';
import { copyObject } from './copy-object.ts';
import { copyPart } from './copy-part.ts';
import { createUpload } from './create-upload.ts';
import type { Engine, Objects, Uploads } from './engine.ts';
import { defaultLimits, type EngineLimits } from './engine-limits.ts';
import type { EngineParts, MetadataJournal } from './engine-parts.ts';
import { findUpload } from './find-upload.ts';
import { journaled } from './journaled.ts';
import { openObject } from './open-object.ts';
import { maxPacksUnderWay, Packer } from './packer.ts';
import { PieceCache } from './piece-cache.ts';
import { putObject } from './put-object.ts';
import { putPart } from './put-part.ts';
import { RecentNotes } from './recent-notes.ts';
import { Journal } from './recovery/journal.ts';
import type { VerifyReport } from './recovery/verify-report.ts';
import { type VerifyOptions, verifyStore } from './recovery/verify-store.ts';
import { RowPool, rowBufferBytes } from './row-pool.ts';
import type { RowThreads } from './row-work/row-threads.ts';
import { RowWork } from './row-work/row-work.ts';
import { StripePins } from './stripe-pins.ts';
import { ClientLoad } from './upkeep/client-load.ts';
import { Upkeep } from './upkeep/upkeep.ts';
import { UpkeepLocks } from './upkeep/upkeep-locks.ts';

const failureNoteAgeMs = 60_000;
const noJournal: MetadataJournal = { flush: async () => {}, coversUntilMs: () => Number.POSITIVE_INFINITY };

export interface CreatedEngine {
  readonly engine: Engine;
  readonly upkeep: Upkeep;
  /** Where it was asked for. */
  readonly journal: Journal | undefined;
  /** Checks the metadata against what the providers hold, while nobody writes. */
  verify(options: VerifyOptions, signal: AbortSignal): Promise<VerifyReport>;
}

/**
 * Puts the engine together. It does no upkeep of itself before `upkeep.start()`, and writes batches of the journal only for
 * verbs that need one before `journal.start()`.
 *
 * @param parts.limits what is not given is as in `defaultLimits`
 * @throws RangeError when a profile cannot be written, or a budget cannot hold one row of it
 */
export function createEngine(parts: {
  metadata: MetadataStore;
  fleet: Fleet;
  codec: ErasureCodec;
  profiles: readonly Profile[];
  clock: Clock;
  log: Log;
  metrics: Metrics;
  masterKey: MasterKey;
  limits?: Partial<EngineLimits>;
  /** Absent: each stream is hashed by itself, by node:crypto. */
  md5?: Md5Lanes;
  /** What ETags are where a bucket does not say; MD5 unless given. */
  etags?: ETagKind;
  /** Threads for rows and packs; whoever made them closes them. None unless given: the process does their work itself. */
  rowThreads?: RowThreads | undefined;
  /** Whether changes of the metadata go to the providers as well; off unless set. */
  isJournaling?: boolean;
}): CreatedEngine {
  const { fleet, metrics, log } = parts;
  const limits = { ...defaultLimits, ...parts.limits };
  checkProfiles(limits, parts.profiles);
  const budget = (name: string, capacityBytes: number): ByteBudget =>
    new ByteBudget({ name, capacityBytes, waitMs: limits.budgetWaitMs, metrics });
  const failureNotes = new RecentNotes({ maxNotes: 1_000, ageMs: failureNoteAgeMs });
  const writeBudget = budget('write', limits.writeBudgetBytes);
  const md5 = parts.md5 ?? new Md5Lanes({ kernels: undefined, laneCount: 0, onHashed: metrics.noteMd5 });
  const isShared = parts.rowThreads !== undefined;
  const packers = new Map<Profile, Packer>();
  const engineParts: EngineParts = {
    ...parts,
    limits,
    md5,
    etags: parts.etags ?? 'md5',
    writeBudget,
    rowWork: new RowWork({
      tools: { codec: parts.codec, sealer: parts.masterKey.sealer, md5: md5.batch },
      threads: parts.rowThreads,
      metrics,
    }),
    rows: new RowPool(writeBudget, { isShared }),
    packRows: new RowPool(budget('packs', maxPacksUnderWay * maxRowBytes(parts.profiles)), { isShared }),
    packerOf: (profile) => {
      const packer = packers.get(profile) ?? new Packer(engineParts, profile);
      packers.set(profile, packer);
      return packer;
    },
    readBudget: budget('read', limits.readBudgetBytes),
    blocks: new BlockReader({
      fleet,
      metrics,
      log,
      cacheBytes: limits.digestCacheBytes,
      onDamage: (stripe, shard) => upkeep.noteDamage(stripe, shard),
    }),
    pieces: new PieceCache({ maxBytes: limits.pieceCacheBytes }),
    pins: new StripePins(),
    locks: new UpkeepLocks(),
    clientLoad: new ClientLoad(),
    get journal() {
      return journal ?? noJournal;
    },
    noteProviderFailure: ({ id }, error) => {
      if (failureNotes.note(id)) log.warn({ provider: id, err: error }, 'provider failed to take a shard');
    },
    kickRepair: () => upkeep.kick(),
    noteMiscoded: (id) => upkeep.noteMiscoded(id),
  };
  const journal = parts.isJournaling
    ? new Journal(engineParts, { intervalMs: limits.journalIntervalMs, snapshotBatches: limits.snapshotBatches })
    : undefined;
  const upkeep = new Upkeep(engineParts);
  const engine = {
    buckets: createBuckets(engineParts),
    objects: createObjects(engineParts),
    uploads: createUploads(engineParts),
  };
  return { engine, upkeep, journal, verify: (options, signal) => verifyStore(engineParts, options, signal) };
}

function maxRowBytes(profiles: readonly Profile[]): number {
  return Math.max(...profiles.map(({ k, m }) => rowBufferBytes({ k, m, blockBytes: maxBlockBytes })));
}

/** Better no start than a first PUT that cannot work. */
function checkProfiles({ writeBudgetBytes, readBudgetBytes }: EngineLimits, profiles: readonly Profile[]): void {
  for (const { name, k, m } of profiles) {
    const stripeId = '0'.repeat(32) as StripeId;
    encodeShardHeader({ stripeId, profileName: name, k, m, index: 0, blockBytes: maxSingleBlockBytes });
    const neededBytes = rowBufferBytes({ k, m, blockBytes: maxSingleBlockBytes });
    if (Math.min(writeBudgetBytes, readBudgetBytes) < neededBytes) {
      throw new RangeError(`profile ${name} needs read and write budgets of at least ${neededBytes} bytes`);
    }
  }
}

function createObjects(parts: EngineParts): Objects {
  const { metadata } = parts;
  return {
    put: (request, signal) => putObject(parts, request, signal),
    open: (request) => openObject(parts, request),
    copy: (request, signal) => copyObject(parts, request, signal),
    delete: (request) => metadata.deleteVersion(request),
    setTags: ({ bucket, key, versionId }, tags) => journaled(parts, metadata.setTags(bucket, key, versionId, tags)),
    list: (query) => metadata.listObjects(query),
    listVersions: (query) => metadata.listVersions(query),
  };
}

function createUploads(parts: EngineParts): Uploads {
  const { metadata } = parts;
  return {
    create: (request) => createUpload(parts, request),
    get: (target) => findUpload(parts, target),
    putPart: (request, signal) => putPart(parts, request, signal),
    copyPart: (request, signal) => copyPart(parts, request, signal),
    listParts: ({ bucket, key, uploadId }, after, limit) => metadata.listParts(bucket, key, uploadId, after, limit),
    list: (query) => metadata.listUploads(query),
    complete: (request) => completeUpload(parts, request),
    abort: ({ bucket, key, uploadId }) => metadata.abortUpload(bucket, key, uploadId),
  };
}
