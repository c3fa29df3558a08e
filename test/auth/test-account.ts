import type { AuthContext } from '../../gateway/auth/authenticate.ts';
import { AuthorizationMemo } from '../../gateway/auth/authorization-memo.ts';
import { SigningKeys } from '../../gateway/auth/signing-key.ts';

/** The key pair of AWS's published examples. */
export const accessKeyId = 'AKIAIOSFODNN7EXAMPLE';
export const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';
export const region = 'us-east-1';
/** The time of AWS's published examples. */
export const signingDate = new Date('2013-05-24T00:00:00Z');
export const timestamp = '20130524T000000Z';

export const account = {
  accountId: '123456789012',
  canonicalId: 'a'.repeat(64),
  displayName: 'test',
  email: 'test@example.com',
};

/** A context that knows one key, in which it is `now`. */
export function createContext(now: Date = signingDate): AuthContext {
  return {
    findCredentials: (id) => (id === accessKeyId ? { secretAccessKey, account } : undefined),
    region,
    clock: { now: () => now.getTime() },
    signingKeys: new SigningKeys({ maxKeys: 10 }),
    memo: new AuthorizationMemo({ maxHeaders: 10 }),
  };
}
