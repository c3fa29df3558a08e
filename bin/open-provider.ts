import type { ByteBudget } from '../core/byte-budget.ts';
import type { Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { Failure } from '../core/failure.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ProviderRecord } from '../core/model.ts';
import type { OpeningMode } from '../engine/fleet/provider-opener.ts';
import type { ProviderHealth } from '../placement/provider-health.ts';
import { checkMarker, markerName } from '../placement/providers/directory-marker.ts';
import { openDirectoryProvider } from '../placement/providers/directory-provider.ts';
import { hasErrorCode } from '../placement/providers/durable-files.ts';
import type { Provider } from '../placement/providers/provider.ts';
import type { SegmentAppenders } from '../placement/providers/segments/segment-appender.ts';
import { withDeadline } from '../placement/providers/with-deadline.ts';
import { withObservation } from '../placement/providers/with-observation.ts';
import { withOrderlyClose } from '../placement/providers/with-orderly-close.ts';

export interface ProviderOpeningParts {
  readonly limits: Pick<Config['limits'], 'providerTimeoutMs' | 'bucketWriteTimeoutMs'>;
  readonly metrics: Metrics;
  readonly health: ProviderHealth;
  readonly clock: Clock;
  /** What writes to the segments of directories. */
  readonly appenders?: SegmentAppenders | undefined;
  /** Memory for long shards on their way to buckets. */
  readonly bucketBudget: ByteBudget;
  /** Tests put faults between the gateway and its providers here. */
  readonly wrapProvider?: ((provider: Provider) => Provider) | undefined;
}

/** How much longer than a call may take a provider that is closed waits for those under way. */
const closeSpareMs = 5_000;

/** Opens what a record names, with all that belongs around it. */
export async function openProvider(
  record: ProviderRecord,
  mode: OpeningMode,
  parts: ProviderOpeningParts,
): Promise<Provider> {
  const { limits, metrics, health, wrapProvider } = parts;
  const provider = await openLocation(record, mode, parts);
  // From the inside out: faults (in tests), then the deadline, then what counts and judges the outcome.
  const faulty = wrapProvider?.(provider) ?? provider;
  const timeoutMs = limits.providerTimeoutMs;
  const writeTimeoutMs =
    record.location.kind === 'bucket' ? Math.max(limits.bucketWriteTimeoutMs, timeoutMs) : timeoutMs;
  const bounded = withDeadline(faulty, { timeoutMs, writeTimeoutMs });
  const observed = withObservation(bounded, { metrics, health });
  return withOrderlyClose(observed, { waitMs: writeTimeoutMs + closeSpareMs });
}

/** Kinds that most gateways do not use are loaded when they are. */
async function openLocation(
  { id, location, capacityBytes }: ProviderRecord,
  mode: OpeningMode,
  { appenders, clock, bucketBudget }: ProviderOpeningParts,
): Promise<Provider> {
  switch (location.kind) {
    case 'directory': {
      const { path, reserveBytes, segmentShardBytes } = location;
      // A disk that is not mounted leaves an empty directory, which must not be taken for a new provider's.
      if (mode === 'return') await requireMarker(path, id);
      return openDirectoryProvider({ id, path, reserveBytes, segmentShardBytes, ...(appenders && { appenders }) });
    }
    case 'node': {
      const { endpoint, secret, ca } = location;
      const { openNodeProvider } = await import('../placement/providers/node/node-provider.ts');
      const { parseNodeKey } = await import('../placement/providers/node/node-key.ts');
      return openNodeProvider({ id, endpoint, key: parseNodeKey(secret), clock, ...(ca !== undefined && { ca }) });
    }
    case 'bucket': {
      const { openBucketProvider } = await import('../placement/providers/bucket/bucket-provider.ts');
      const { isPathStyle, kind: _, ...address } = location;
      return openBucketProvider({
        id,
        ...address,
        forcePathStyle: isPathStyle,
        capacityBytes,
        writeBudget: bucketBudget,
        clock,
      });
    }
  }
}

async function requireMarker(path: string, id: ProviderRecord['id']): Promise<void> {
  try {
    await checkMarker(path, id);
  } catch (error) {
    const cause = hasErrorCode(error, 'ENOENT')
      ? new Error(`there is no ${markerName} in ${path}, where shards were kept before: is its disk mounted?`)
      : error;
    throw new Failure('provider-error', { providerId: id, call: 'open' }, { cause });
  }
}

/** Tries all that a bucket must be able to do. Returns warnings. @throws Failure `provider-refused` */
export async function probeLocation({ id, location }: ProviderRecord, signal: AbortSignal): Promise<readonly string[]> {
  if (location.kind !== 'bucket') return [];
  const { probeBucket } = await import('../placement/providers/bucket/probe-bucket.ts');
  const { isPathStyle, kind: _, ...address } = location;
  const { isUsable, findings } = await probeBucket({ id, ...address, forcePathStyle: isPathStyle }, signal);
  const sentences = (outcome: string): string[] =>
    findings.filter((finding) => finding.outcome === outcome).map(({ sentence }) => sentence);
  if (!isUsable) throw new Failure('provider-refused', { providerId: id, reason: sentences('bad').join('; ') });
  return sentences('warning');
}
