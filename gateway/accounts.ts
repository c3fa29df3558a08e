import type { Account } from '../core/model.ts';

export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface AccountWithKeys extends Account {
  readonly accessKeys: readonly AccessKey[];
}

/** Who may sign requests, and who owns what. */
export class Accounts {
  readonly #byAccessKey = new Map<string, { secretAccessKey: string; account: Account }>();
  readonly #byCanonicalId = new Map<string, Account>();

  constructor(accounts: readonly AccountWithKeys[]) {
    for (const { accessKeys, ...account } of accounts) {
      this.#byCanonicalId.set(account.canonicalId, account);
      for (const key of accessKeys)
        this.#byAccessKey.set(key.accessKeyId, { secretAccessKey: key.secretAccessKey, account });
    }
  }

  findByAccessKey(accessKeyId: string): { readonly secretAccessKey: string; readonly account: Account } | undefined {
    return this.#byAccessKey.get(accessKeyId);
  }

  /** The display name of an owner; empty for an account that is no longer configured. */
  displayName(canonicalId: string): string {
    return this.#byCanonicalId.get(canonicalId)?.displayName ?? '';
  }
}
