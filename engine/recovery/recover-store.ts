import { forEachBounded } from '../../core/for-each-bounded.ts';
import type { Log } from '../../core/log.ts';
import type { MetadataStore } from '../../metadata/metadata-store.ts';
import type { MetadataRecord } from '../../metadata/record-store.ts';
import { findBatches, walkNewest } from './find-newest-batch.ts';
import { batchName } from './journal-batch.ts';
import { type Chain, ChainReader, type ChainReadParts } from './read-chain.ts';
import { readRoots } from './read-roots.ts';
import type { RecoveryReport } from './recovery-report.ts';
import { type JournalEnd, ManifestReplay } from './replay-manifests.ts';
import type { ScanParts } from './scan-shards.ts';
import type { SystemLocation } from './system-location.ts';

export type RecoveryParts = ChainReadParts & {
  /** Fresh. */
  readonly metadata: MetadataStore;
  readonly log: Log;
};

export interface RecoveryOptions {
  /** Look into all shards, not only into those that were written since the last batch of the journal. */
  readonly isFullScan: boolean;
  /** Told now and then what is being done, and how far it has come. */
  readonly onProgress: (step: string, count: number) => void;
}

/** By how much a provider's clock may differ from ours. */
const clockSkewMs = 300_000;
const importBatch = 2_000;
/** System objects that are looked for at once. */
const followWidth = 16;
/** Numbers are microseconds: as many as ten minutes have. */
const skippedNumbers = 600_000_000;

/**
 * Rebuilds a metadata store from what the providers hold (docs/recovery.md): the newest snapshot and the journal since, and
 * then what only the manifests of stripes tell. Providers may be missing, and may lie, up to m of them.
 *
 * @throws Error when there is nothing to recover from; the signal's reason
 */
export async function recoverStore(
  parts: RecoveryParts,
  { isFullScan, onProgress }: RecoveryOptions,
  signal: AbortSignal,
): Promise<RecoveryReport> {
  const { fleet, metadata, log } = parts;
  const problems: string[] = [];
  let shardsListed = 0;
  const { roots, otherKeys } = await readRoots(parts, signal);
  if (roots.length === 0 && otherKeys.size > 0) {
    const [[provider, keyId] = []] = otherKeys;
    throw new Error(
      `provider ${provider} was written with another master key (${keyId}), not this (${parts.masterKey.id})`,
    );
  }
  const reader = new ChainReader(parts);
  const fromRoots = await walkNewest(reader, distinct(roots.map(({ batch }) => batch)), signal);
  onProgress('batches', fromRoots.chain?.batches.length ?? 0);
  const rootHeader = fromRoots.chain?.newest;
  const isFull = isFullScan || rootHeader === undefined;
  const scan: ScanParts = {
    fleet,
    sinceMs:
      isFull || rootHeader === undefined ? 0 : Math.min(rootHeader.createdAtMs, rootHeader.oldestWriteMs) - clockSkewMs,
    onFailure: (provider, error) => {
      log.warn({ provider, err: error }, 'provider cannot be listed');
      problems.push(`provider ${provider} cannot be listed to its end`);
    },
    onPage: (shards) => {
      shardsListed += shards;
      onProgress('shards', shardsListed);
    },
  };
  const newer = (await findBatches(parts, scan, signal)).filter(({ number }) => number > (rootHeader?.sequence ?? 0));
  const fromScan = await walkNewest(reader, newer, signal);
  const chain = fromScan.chain ?? fromRoots.chain;
  // What stood in the way of a batch that is older than the one that was found is of no interest.
  if (fromScan.chain === undefined) problems.push(...fromRoots.problems);
  problems.push(...fromScan.problems);
  if (chain === undefined && problems.length > 0)
    throw new Error(`no journal can be read:\n  ${problems.join('\n  ')}`);
  const end = await importChain(parts, reader, chain, onProgress, signal);
  await skipNumbers(metadata, Math.max(end.next, ...roots.map(({ sequence }) => sequence)));
  const imported = await metadata.finishImport();
  for (const id of imported.missingStripes) problems.push(`stripe ${id} is referred to, and nothing is known of it`);
  if (chain !== undefined) await noteChain(metadata, reader, chain, signal);
  shardsListed = 0;
  const manifests = await new ManifestReplay(parts, end, problems).run(scan, signal);
  return {
    roots: roots.length,
    snapshotChunks: chain?.chunks.length ?? 0,
    batches: chain?.batches.length ?? 0,
    journaledAtMs: chain?.newest.createdAtMs,
    imported,
    manifests,
    shardsListed,
    problems,
  };
}

function distinct(batches: readonly SystemLocation[]): SystemLocation[] {
  return [...new Map(batches.map((batch) => [batch.name, batch])).values()].sort((a, b) => b.number - a.number);
}

/** Imports snapshot and journal. Returns what the manifests are to be judged by. */
async function importChain(
  { metadata }: RecoveryParts,
  reader: ChainReader,
  chain: Chain | undefined,
  onProgress: RecoveryOptions['onProgress'],
  signal: AbortSignal,
): Promise<JournalEnd> {
  const removed = new Set<number>();
  if (chain === undefined) {
    await metadata.importRecords([]);
    return { next: 0, outstanding: new Set(), removed };
  }
  const { sequence, outstanding } = chain.newest;
  const last = batchName(sequence);
  let count = 0;
  let waiting: MetadataRecord[] = [];
  const importWaiting = async (): Promise<void> => {
    await metadata.importRecords(waiting);
    count += waiting.length;
    onProgress('records', count);
    waiting = [];
  };
  for await (const { location, records } of reader.replay(chain, signal)) {
    waiting.push(...records);
    if (waiting.length >= importBatch) await importWaiting();
    if (location.name !== last) continue;
    for (const { kind, key, value } of records) if (kind === 'version' && value === null) removed.add(Number(key));
  }
  await importWaiting();
  return { next: sequence, outstanding: new Set(outstanding), removed };
}

/**
 * The lost store drew numbers that no record tells of, such as those of writes that were never acknowledged, whose manifests may still lie about.
 * Whatever the clock says now, those that are drawn from here on must be higher: two manifests of one number would be one too many.
 */
async function skipNumbers(metadata: MetadataStore, last: number): Promise<void> {
  await metadata.importRecords([{ kind: 'setting', key: 'last-number', value: `${last + skippedNumbers}` }]);
}

/** The store goes on with the same chain: what it still lacks comes with the next batch. */
async function noteChain(
  metadata: MetadataStore,
  reader: ChainReader,
  { chunks, batches }: Chain,
  signal: AbortSignal,
): Promise<void> {
  await forEachBounded([...chunks, ...batches], followWidth, async (object) => {
    await metadata.putSystemObject(await reader.follow(object, signal));
  });
}
