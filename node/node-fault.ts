import { type Failure, isFailure } from '../core/failure.ts';
import type { NodeError } from '../placement/providers/node/node-protocol.ts';

/** The status of each error. */
const statuses: Readonly<Record<NodeError, number>> = {
  'shard-missing': 404,
  'provider-full': 507,
  'provider-error': 500,
  'bad-request': 400,
  'too-large': 413,
  'content-mismatch': 400,
  'upload-missing': 404,
  'route-missing': 404,
  unsigned: 401,
  'unknown-key': 401,
  'bad-signature': 401,
  'clock-skew': 401,
  'instance-changed': 401,
  replayed: 403,
  overloaded: 503,
  'body-timeout': 408,
  stopping: 503,
};

/** A request that is answered with an error. */
export class NodeFault extends Error {
  readonly error: NodeError;
  readonly status: number;
  /** Fields of the answer beside `error` and `message`. */
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(error: NodeError, message: string, fields: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'NodeFault';
    this.error = error;
    this.status = statuses[error];
    this.fields = fields;
  }
}

/** What to answer for whatever was thrown. */
export function toNodeFault(error: unknown): NodeFault {
  if (error instanceof NodeFault) return error;
  if (isFailure(error, 'overloaded')) return new NodeFault('overloaded', 'too much is under way');
  return new NodeFault(outcomeOf(error), reasonOf(error));
}

/** What became of a call to the provider that failed. */
export function outcomeOf(error: unknown): 'shard-missing' | 'provider-full' | 'provider-error' {
  if (isFailure(error, 'shard-missing') || isFailure(error, 'provider-full')) return error.kind;
  return 'provider-error';
}

/** In words, for the gateway's log. */
export function reasonOf(error: unknown): string {
  if (!isFailure(error)) return error instanceof Error ? error.message : String(error);
  const { cause, message } = error as Failure;
  return cause instanceof Error ? cause.message : message;
}
