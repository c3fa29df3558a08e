import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { LRUCache } from 'lru-cache';

export interface CredentialScope {
  /** yyyyMMdd. */
  readonly date: string;
  readonly region: string;
}

/** The last two parts of every scope that S3 knows. */
export const scopeService = 's3';
export const scopeTerminal = 'aws4_request';

export function hmacSha256(key: KeyObject, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/**
 * A key object, since node:crypto takes seven times as long for an HMAC whose key is a buffer.
 * Source: AWS "Create a signed AWS API request", derive a signing key.
 */
export function deriveSigningKey(secretAccessKey: string, scope: CredentialScope): KeyObject {
  let key = createSecretKey(`AWS4${secretAccessKey}`, 'utf8');
  for (const part of [scope.date, scope.region, scopeService, scopeTerminal]) {
    key = createSecretKey(hmacSha256(key, part));
  }
  return key;
}

/** Derived keys, which are good for a day each, so that a request costs one HMAC instead of five. */
export class SigningKeys {
  readonly #keys: LRUCache<string, { secretAccessKey: string; key: KeyObject }>;

  constructor(options: { maxKeys: number }) {
    this.#keys = new LRUCache({ max: options.maxKeys });
  }

  get(accessKeyId: string, secretAccessKey: string, scope: CredentialScope): KeyObject {
    const name = `${accessKeyId}/${scope.date}/${scope.region}`;
    const known = this.#keys.get(name);
    // A secret may be replaced under its access key id; the old key must not outlive it.
    if (known?.secretAccessKey === secretAccessKey) return known.key;
    const key = deriveSigningKey(secretAccessKey, scope);
    this.#keys.set(name, { secretAccessKey, key });
    return key;
  }
}
