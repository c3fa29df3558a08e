import type { ProviderId, ProviderLocation, ProviderRecord, ProviderState } from '../../core/model.ts';
import type { LocationSettings, ProviderSettings } from '../../core/provider-settings.ts';
import { parseNodeKey } from '../../placement/providers/node/node-key.ts';

/** The record of a provider that comes to be in this state now. */
export function createRecord(settings: ProviderSettings, state: ProviderState, stateSinceMs: number): ProviderRecord {
  const { id, operator, country, zone, weight, capacityBytes } = settings;
  return {
    id: id as ProviderId,
    state,
    operator,
    country,
    zone,
    weight,
    ...(capacityBytes !== undefined && { capacityBytes }),
    location: createLocation(settings),
    stateSinceMs,
  };
}

export function createLocation(settings: LocationSettings): ProviderLocation {
  switch (settings.kind) {
    case 'directory': {
      const { kind, path, reserveBytes, segmentShardBytes } = settings;
      return { kind, path, reserveBytes, segmentShardBytes };
    }
    case 'node': {
      const { kind, endpoint, key, ca } = settings;
      return {
        kind,
        endpoint,
        keyId: parseNodeKey(key).id,
        secret: key.toLowerCase(),
        ...(ca !== undefined && { ca }),
      };
    }
    case 'bucket': {
      const { kind, endpoint, region, bucket, prefix, accessKeyId, secretAccessKey, forcePathStyle } = settings;
      return {
        kind,
        ...(endpoint !== undefined && { endpoint }),
        region,
        bucket,
        prefix,
        accessKeyId,
        secretAccessKey,
        isPathStyle: forcePathStyle ?? endpoint !== undefined,
      };
    }
  }
}

/** A location without its secrets: fit for answers and logs. */
export type PublicLocation =
  | Extract<ProviderLocation, { kind: 'directory' }>
  | Omit<Extract<ProviderLocation, { kind: 'node' }>, 'secret' | 'ca'>
  | Omit<Extract<ProviderLocation, { kind: 'bucket' }>, 'secretAccessKey'>;

export function withoutSecrets(location: ProviderLocation): PublicLocation {
  switch (location.kind) {
    case 'directory':
      return location;
    case 'node': {
      const { kind, endpoint, keyId } = location;
      return { kind, endpoint, keyId };
    }
    case 'bucket': {
      const { secretAccessKey: _, ...shown } = location;
      return shown;
    }
  }
}

/** The place itself: two providers there would be one, whatever else is said of them. */
export function describePlace(location: ProviderLocation): string {
  switch (location.kind) {
    case 'directory':
      return `directory ${location.path}`;
    case 'node':
      return `node ${new URL(location.endpoint).origin}`;
    case 'bucket': {
      const { endpoint = `https://s3.${location.region}.amazonaws.com`, bucket, prefix } = location;
      return `bucket ${bucket} with the prefix ${JSON.stringify(prefix)} at ${new URL(endpoint).origin}`;
    }
  }
}

/**
 * In what the configuration differs from what the store knows of a provider, each in words that an operator can act on.
 * Secrets are compared, never named.
 */
export function listDifferences(known: ProviderRecord, configured: ProviderRecord): string[] {
  const differences: string[] = [];
  for (const name of ['weight', 'operator', 'country', 'zone', 'capacityBytes'] as const) {
    if (known[name] !== configured[name]) {
      differences.push(`${name} is ${JSON.stringify(known[name])}, not ${JSON.stringify(configured[name])}`);
    }
  }
  const before: Record<string, unknown> = { ...known.location };
  const after: Record<string, unknown> = { ...configured.location };
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (before[name] === after[name]) continue;
    const isSecret = name === 'secret' || name === 'secretAccessKey' || name === 'ca';
    differences.push(
      isSecret
        ? `${name} is another one`
        : `${name} is ${JSON.stringify(before[name])}, not ${JSON.stringify(after[name])}`,
    );
  }
  return differences;
}
