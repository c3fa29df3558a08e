import { randomBytes } from 'node:crypto';
import { Failure, isFailure } from '../../core/failure.ts';
import type { ProviderId, ShardCid } from '../../core/model.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import { shardCid } from '../../erasure/shard-format.ts';
import type { Provider } from '../../placement/providers/provider.ts';
import { openRoot } from '../recovery/root-record.ts';

const probeBytes = 1_000;
const maxCauses = 2;

/**
 * Makes sure that a provider that joins holds nothing of anybody else: what no stripe is known for is deleted after a while.
 *
 * @param isNew whether the metadata store is new: then what this gateway's providers hold is not to be deleted either
 * @throws Failure `provider-refused`, or what the provider throws; the signal's reason
 */
export async function checkOwner(
  provider: Provider,
  { masterKey, isNew }: { masterKey: MasterKey; isNew: boolean },
  signal: AbortSignal,
): Promise<void> {
  if (await isOurs(provider, masterKey, signal)) {
    if (!isNew) return;
    throw refuse(
      provider.id,
      'it was in use before, and the metadata store is new: holdfast recover rebuilds the metadata from the providers',
    );
  }
  const { shards } = await provider.listShards(undefined, 1, signal);
  if (shards.length > 0) throw refuse(provider.id, 'it holds shards, and nothing says that they are of this gateway');
}

/**
 * Finds out whether a provider keeps what it is given, and is not the place of another member under another name. Leaves
 * nothing behind.
 *
 * @param others the other members
 * @throws Failure `provider-refused`, or what the provider throws; the signal's reason
 */
export async function probeProvider(
  provider: Provider,
  others: readonly Provider[],
  signal: AbortSignal,
): Promise<void> {
  const content = randomBytes(probeBytes);
  // Named as no stripe's shard can be: it describes itself as nothing, so that a recovery passes it over.
  const cid = shardCid(content, randomBytes(probeBytes));
  try {
    await provider.putShard(cid, [content], signal);
    const read = await provider.readShard(cid, 0, content.length, signal);
    if (!content.equals(read)) throw refuse(provider.id, 'it gives back other bytes than it was given');
    await refuseTwin(provider.id, cid, others, signal);
  } finally {
    await provider.deleteShard(cid, signal).catch(() => {});
  }
}

/**
 * Finds out whether this is where a provider that holds shards is now: a member writes the fleet's root to everybody.
 *
 * @throws Failure `provider-refused`, or what the provider throws; the signal's reason
 */
export async function checkMoved(provider: Provider, masterKey: MasterKey, signal: AbortSignal): Promise<void> {
  if (!(await isOurs(provider, masterKey, signal))) {
    throw refuse(provider.id, 'nothing there says that it holds shards of this gateway');
  }
}

/** Whether this gateway, or one that it goes on for, has used the provider. @throws Failure `provider-refused` for another gateway's */
async function isOurs(provider: Provider, masterKey: MasterKey, signal: AbortSignal): Promise<boolean> {
  const root = await provider.readRoot(signal);
  if (root === undefined) return false;
  const opened = openRoot(masterKey, root);
  if (opened.kind === 'root') return true;
  const whose = opened.kind === 'other-key' ? `a gateway with the master key ${opened.masterKeyId}` : 'nobody known';
  throw refuse(provider.id, `it belongs to ${whose}`);
}

async function refuseTwin(
  id: ProviderId,
  cid: ShardCid,
  others: readonly Provider[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    others.map(async (other) => {
      const isThere = await other.statShard(cid, signal).then(
        () => true,
        () => false,
      );
      if (isThere) throw refuse(id, `it is the same place as the provider ${other.id}`);
    }),
  );
}

function refuse(providerId: ProviderId, reason: string): Failure {
  return new Failure('provider-refused', { providerId, reason });
}

/** Why a provider cannot be used, in a sentence for operators: what the errors say that led to the failure. */
export function explainFault(error: unknown): string {
  if (isFailure(error, 'provider-refused')) return error.detail.reason;
  if (isFailure(error, 'provider-timeout'))
    return `no answer to ${error.detail.call} within ${error.detail.timeoutMs} ms`;
  const messages: string[] = [];
  for (let cause = error; cause !== undefined; cause = cause instanceof Error ? cause.cause : undefined) {
    if (isFailure(cause) && cause.cause !== undefined) continue;
    const message = cause instanceof Error ? cause.message : String(cause);
    if (!messages.some((said) => said.includes(message))) messages.push(message);
  }
  return messages.slice(0, maxCauses).join(': ');
}
