import assert from 'node:assert/strict';
import { rootKey, type TestGateway } from '../harness/gateway.ts';
import { createSignedFetch } from '../harness/signed-fetch.ts';

/** A provider as an answer has it. */
export interface AnsweredProvider {
  readonly id: string;
  readonly state: string;
  readonly standing: string;
  readonly fault?: string;
  readonly operator: string;
  readonly weight: number;
  readonly capacityBytes?: number;
  readonly totalBytes?: number;
  readonly freeBytes?: number;
  readonly heldShards: number;
  readonly location: { readonly kind: string; readonly path: string };
}

/** What answers may hold; which of it is there depends on what was asked. */
export interface AdminAnswer {
  readonly provider: AnsweredProvider;
  readonly providers: readonly AnsweredProvider[];
  readonly warnings: readonly string[];
  readonly isForgotten: boolean;
  readonly code: string;
  readonly message: string;
  readonly faults: readonly string[];
  readonly requestId: string;
  readonly openapi: string;
  readonly components: { readonly schemas: object };
}

/** Asks the admin API as the root account; the answer must have this status. */
export type AskAdmin = (method: string, path: string, body?: unknown, status?: number) => Promise<AdminAnswer>;

export function createAskAdmin({ adminUrl }: Pick<TestGateway, 'adminUrl'>): AskAdmin {
  const fetchAdmin = createSignedFetch(adminUrl, rootKey, 'us-east-1', 'holdfast-admin');
  return async (method, path, body, status = 200) => {
    const answer = await fetchAdmin(method, path, body === undefined ? {} : { body: JSON.stringify(body) });
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.headers.get('content-type'), 'application/json');
    return JSON.parse(answer.text) as AdminAnswer;
  };
}
