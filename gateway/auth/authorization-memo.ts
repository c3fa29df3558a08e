import { LRUCache } from 'lru-cache';
import type { Credential } from './credential.ts';
import { parseTimestamp, type SigningTime } from './signing-time.ts';

/** An Authorization header taken apart and found to be well-formed. */
export interface ParsedAuthorization {
  readonly credential: Credential;
  /** Lower case, in the client's order. */
  readonly signedHeaders: readonly string[];
}

/** A header beyond this is not worth keeping, and could be somebody filling memory. */
const maxPrefixLength = 512;

/**
 * What was parsed lately. A client signs with the same credential and the same list of headers all day, and many
 * requests in the same second; only the signature differs.
 */
export class AuthorizationMemo {
  readonly #byPrefix: LRUCache<string, ParsedAuthorization>;
  #time: SigningTime | undefined;

  constructor(options: { readonly maxHeaders: number }) {
    this.#byPrefix = new LRUCache({ max: options.maxHeaders });
  }

  /** @param prefix all of the header before the signature's digits */
  find(prefix: string): ParsedAuthorization | undefined {
    return this.#byPrefix.get(prefix);
  }

  keep(prefix: string, parsed: ParsedAuthorization): void {
    if (prefix.length <= maxPrefixLength) this.#byPrefix.set(prefix, parsed);
  }

  /** As `parseTimestamp`. */
  parseTimestamp(text: string): SigningTime | undefined {
    if (this.#time?.timestamp === text) return this.#time;
    const time = parseTimestamp(text);
    if (time) this.#time = time;
    return time;
  }
}
