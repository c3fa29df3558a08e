import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProviderId } from '../../core/model.ts';
import { openDirectoryProvider } from '../../placement/providers/directory-provider.ts';
import { startTestNode, type TestNode } from '../node/node-harness.ts';
import { rootKey, startGateway, type TestGateway } from './gateway.ts';

const nodeKey = '0123456789abcdef'.repeat(4);

/** Two directories, two nodes and two buckets of another Holdfast, for a gateway's configuration. */
export interface MixedFleet {
  /** As `providers` of the configuration file. */
  readonly providers: readonly Record<string, unknown>[];
  readonly nodes: readonly TestNode[];
  /** Serves both buckets; the one that was started last. */
  readonly back: TestGateway;
  /** Starts it again where it was, after it was closed. */
  startBack(): Promise<void>;
  close(): Promise<void>;
}

export async function startMixedFleet(): Promise<MixedFleet> {
  await using opened = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-mixed-'));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  // The other one's own redundancy is not what is tried here.
  const single = [{ id: 'only', kind: 'directory', path: join(folder, 'back'), reserveBytes: 0 }];
  const backOptions = {
    dataDir: join(folder, 'back-data'),
    config: { providers: single, profiles: { STANDARD: { k: 1, m: 0 } } },
  };
  let back = await startGateway(backOptions);
  const { url } = back;
  opened.defer(() => back.close());
  const nodes: TestNode[] = [];
  for (const id of ['node-1', 'node-2'] as ProviderId[]) {
    const provider = await openDirectoryProvider({ id, path: join(folder, id) });
    opened.defer(() => provider.close());
    const node = await startTestNode({ provider });
    opened.defer(() => node.stop());
    nodes.push(node);
  }
  for (const bucket of ['shards-1', 'shards-2']) await back.fetchSigned('PUT', `/${bucket}`);
  const places = (kind: string, settings: (number: number) => object) =>
    [1, 2].map((number) => ({ id: `${kind}-${number}`, kind, operator: `${kind} ${number}`, ...settings(number) }));
  const owned = opened.move();
  return {
    providers: [
      ...places('directory', (number) => ({ path: join(folder, `directory-${number}`), reserveBytes: 0 })),
      ...places('node', (number) => ({ endpoint: nodes[number - 1]!.url, key: nodeKey })),
      ...places('bucket', (number) => ({
        endpoint: url,
        region: 'us-east-1',
        bucket: `shards-${number}`,
        prefix: 'hf/',
        ...rootKey,
      })),
    ],
    nodes,
    get back() {
      return back;
    },
    async startBack() {
      back = await startGateway({ ...backOptions, listen: new URL(url).host });
    },
    close: () => owned.disposeAsync(),
  };
}
