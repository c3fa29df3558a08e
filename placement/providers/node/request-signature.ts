import { createHash, createSecretKey, hash } from 'node:crypto';
import { HmacSha256 } from '../../../core/hmac-sha256.ts';
import type { NodeKey } from './node-key.ts';

/** The name of the scheme, in the header `authorization` and at the head of what is signed. */
const scheme = 'Holdfast1';

/** What stands in place of the body's digest where TLS vouches for the body, and where there is none. */
export const unsignedContent = 'unsigned';
export const noContent = 'none';

/** What a signature covers, beside the secret. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query as they are sent. */
  readonly target: string;
  /** The node's instance, 32 hex digits: it is drawn anew at each start. */
  readonly instance: string;
  /** The sender's session, 32 hex digits. */
  readonly session: string;
  /** Counts the requests of a session; none comes twice. */
  readonly sequence: number;
  readonly dateMs: number;
  /** Bytes of the body; 0 for none. */
  readonly contentBytes: number;
  /** SHA-256 of the body in hex, or `unsigned`, or `none`. */
  readonly content: string;
}

/** What the header `authorization` says. */
export interface Authorization extends Omit<SignedRequest, 'method' | 'target' | 'contentBytes'> {
  readonly keyId: string;
  readonly signature: string;
}

/** Signs requests with one key, and compares signatures. */
export class RequestSigner {
  readonly #keyId: string;
  readonly #hmac: HmacSha256;

  constructor(key: NodeKey) {
    this.#keyId = key.id;
    this.#hmac = new HmacSha256(createSecretKey(key.secret));
  }

  /** The value of the header `authorization`. */
  sign(request: SignedRequest): string {
    const { instance, session, sequence, dateMs, content } = request;
    const signature = this.#hmac.sign(renderSigned(request));
    return `${scheme} ${this.#keyId} ${instance} ${session} ${sequence} ${dateMs} ${content} ${signature}`;
  }

  /** In constant time. */
  matches(request: SignedRequest, signature: string): boolean {
    return this.#hmac.matches(renderSigned(request), signature);
  }
}

/** What is signed; docs/node-protocol.md has a test vector. */
function renderSigned(request: SignedRequest): string {
  const { method, target, instance, session, sequence, dateMs, contentBytes, content } = request;
  return `${scheme}\n${method}\n${target}\n${instance}\n${session}\n${sequence}\n${dateMs}\n${contentBytes}\n${content}`;
}

const headerPattern =
  /^Holdfast1 ([0-9a-f]{16}) ([0-9a-f]{32}) ([0-9a-f]{32}) (\d{1,15}) (\d{1,15}) ([0-9a-f]{64}|unsigned|none) ([0-9a-f]{64})$/;

/** @returns undefined for what is no header of this scheme */
export function parseAuthorization(header: string): Authorization | undefined {
  const match = headerPattern.exec(header);
  if (match === null) return undefined;
  const [, keyId, instance, session, sequence, dateMs, content, signature] = match as unknown as string[];
  return {
    keyId: keyId!,
    instance: instance!,
    session: session!,
    sequence: Number(sequence),
    dateMs: Number(dateMs),
    content: content!,
    signature: signature!,
  };
}

/** The digest of a body that lies in these buffers. */
export function digestContent(buffers: readonly Uint8Array[]): string {
  if (buffers.length === 1) return hash('sha256', buffers[0]!, 'hex');
  const digest = createHash('sha256');
  for (const buffer of buffers) digest.update(buffer);
  return digest.digest('hex');
}
