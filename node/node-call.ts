import type { ByteBudget } from '../core/byte-budget.ts';
import type { NodeMetrics } from '../core/node-metrics.ts';
import type { Provider } from '../placement/providers/provider.ts';
import type { SignedBody } from './signed-body.ts';
import type { UploadTable } from './upload-table.ts';

/** What operations work with. */
export interface NodeParts {
  readonly provider: Provider;
  readonly uploads: UploadTable;
  readonly budget: ByteBudget;
  readonly metrics: NodeMetrics;
}

/** A request that was let in. */
export interface NodeCall {
  /** What stands in the path where the route has a group. */
  readonly name: string;
  readonly query: URLSearchParams;
  readonly body: SignedBody;
  /** Aborted when the gateway goes away. */
  readonly signal: AbortSignal;
  /** Runs once the answer is sent, or can no more be. */
  defer(release: () => void): void;
}

/** What an operation answers with; success has the status 200. An empty answer has no body. */
export type NodeAnswer =
  | { readonly kind: 'empty' }
  | { readonly kind: 'json'; readonly value: Readonly<Record<string, unknown>> }
  | {
      readonly kind: 'stream';
      /** Where it is known. */
      readonly bytes: number | undefined;
      /** Asked for the first one before the status line is sent, so that what fails at once is an error of its own. */
      readonly pieces: AsyncIterable<readonly Uint8Array[]>;
      /** The buffers are the sender's, which gives their memory back as soon as they are sent. */
      readonly isReleased?: boolean;
    };

export type NodeOperation = (parts: NodeParts, call: NodeCall) => Promise<NodeAnswer>;
