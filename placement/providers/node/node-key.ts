import { createHash, randomBytes } from 'node:crypto';

/** The secret that a node and its gateways share: 32 bytes. */
export interface NodeKey {
  /** 16 hex digits that name the secret and do not tell it; fit for logs. */
  readonly id: string;
  readonly secret: Uint8Array;
}

/** How a key is written: 64 hex digits. Also what a configuration may check. */
export const nodeKeyPattern = /^[0-9a-fA-F]{64}$/;

/** @throws RangeError, which does not repeat the text */
export function parseNodeKey(text: string): NodeKey {
  if (!nodeKeyPattern.test(text)) throw new RangeError('a node key is 64 hex digits');
  return describeKey(Buffer.from(text, 'hex'));
}

/** A new random key, and the text that `parseNodeKey` takes. */
export function generateNodeKey(): { readonly key: NodeKey; readonly text: string } {
  const secret = randomBytes(32);
  return { key: describeKey(secret), text: secret.toString('hex') };
}

function describeKey(secret: Uint8Array): NodeKey {
  const digest = createHash('sha256').update('holdfast node key id\n').update(secret).digest('hex');
  return { id: digest.slice(0, 16), secret };
}
