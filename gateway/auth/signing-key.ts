import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { HmacSha256 } from '../../core/hmac-sha256.ts';

export interface CredentialScope {
  /** yyyyMMdd. */
  readonly date: string;
  readonly region: string;
  /** `s3` unless given. */
  readonly service?: string;
}

/** The last two parts of every scope that S3 knows. */
export const scopeService = 's3';
export const scopeTerminal = 'aws4_request';

/**
 * Source: AWS "Create a signed AWS API request", derive a signing key.
 */
export function deriveSigningKey(secretAccessKey: string, scope: CredentialScope): KeyObject {
  let key = createSecretKey(`AWS4${secretAccessKey}`, 'utf8');
  for (const part of [scope.date, scope.region, scope.service ?? scopeService, scopeTerminal]) {
    key = createSecretKey(createHmac('sha256', key).update(part).digest());
  }
  return key;
}

interface KnownKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly scope: CredentialScope;
  readonly key: HmacSha256;
}

/** Derived keys of one service, which are good for a day each, so that a request costs one HMAC instead of five. */
export class SigningKeys {
  readonly #keys: LRUCache<string, KnownKey>;
  /** The next request is mostly of the same client. */
  #latest: KnownKey | undefined;

  constructor(options: { maxKeys: number }) {
    this.#keys = new LRUCache({ max: options.maxKeys });
  }

  get(accessKeyId: string, secretAccessKey: string, scope: CredentialScope): HmacSha256 {
    const latest = this.#latest;
    const isLatest =
      latest?.accessKeyId === accessKeyId &&
      latest.secretAccessKey === secretAccessKey &&
      latest.scope.date === scope.date &&
      latest.scope.region === scope.region;
    if (isLatest) return latest.key;
    this.#latest = this.#find(accessKeyId, secretAccessKey, scope);
    return this.#latest.key;
  }

  #find(accessKeyId: string, secretAccessKey: string, scope: CredentialScope): KnownKey {
    const name = `${accessKeyId}/${scope.date}/${scope.region}`;
    const known = this.#keys.get(name);
    // A secret may be replaced under its access key id; the old key must not outlive it.
    if (known?.secretAccessKey === secretAccessKey) return known;
    const key = new HmacSha256(deriveSigningKey(secretAccessKey, scope));
    const derived = { accessKeyId, secretAccessKey, scope, key };
    this.#keys.set(name, derived);
    return derived;
  }
}
