/**
 * What gateway and node agree on; docs/node-protocol.md is the reference.
 */

/** Every signed route begins so. */
export const protocolRoot = '/v1';
export const batchPath = `${protocolRoot}/batch`;
export const shardsPath = `${protocolRoot}/shards`;
export const uploadsPath = `${protocolRoot}/uploads`;
export const rootPath = `${protocolRoot}/root`;
export const reclaimPath = `${protocolRoot}/reclaim`;
export const capacityPath = `${protocolRoot}/capacity`;
/** Answers unsigned requests too: with the node's instance. */
export const instancePath = `${protocolRoot}/instance`;

/** The longest body of a batch. */
export const maxBatchBytes = 4 * 2 ** 20;
/** The most calls in a batch. */
export const maxBatchCalls = 512;
/** The most bytes that the reads of one batch may ask for, together. */
export const maxBatchReadBytes = 4 * 2 ** 20;
/** Shards up to this length are put in batches, longer ones in a request of their own. */
export const maxSmallPutBytes = 384 * 1024;
/** Reads up to this length travel in batches. */
export const maxSmallReadBytes = 64 * 1024;
/** The most shards in one page of a listing. */
export const maxPageShards = 10_000;
/** How far a request's date may be from the node's clock, either way. */
export const dateWindowMs = 5 * 60_000;

export const nodeErrors = [
  'shard-missing',
  'provider-full',
  'provider-error',
  'bad-request',
  'too-large',
  'content-mismatch',
  'upload-missing',
  'route-missing',
  'unsigned',
  'unknown-key',
  'bad-signature',
  'clock-skew',
  'instance-changed',
  'replayed',
  'overloaded',
  'body-timeout',
  'stopping',
] as const;
/** What the body of an answer that is no success says in its field `error`. */
export type NodeError = (typeof nodeErrors)[number];
