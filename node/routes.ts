import {
  batchPath,
  capacityPath,
  reclaimPath,
  rootPath,
  shardsPath,
  uploadsPath,
} from '../placement/providers/node/node-protocol.ts';
import type { NodeOperation } from './node-call.ts';
import * as operations from './operations.ts';

/** A kind of request. At most one row fits any. */
export interface NodeRoute {
  /** For metrics and logs. */
  readonly operation: string;
  readonly method: string;
  /** A group in it becomes the call's name. */
  readonly path: RegExp;
  readonly run: NodeOperation;
}

const cid = '([a-z2-7]{10,100})';
const upload = '([0-9a-f]{32})';

const routes: readonly NodeRoute[] = [
  { operation: 'Batch', method: 'POST', path: exactly(batchPath), run: operations.batch },
  { operation: 'ReadShard', method: 'GET', path: exactly(`${shardsPath}/${cid}`), run: operations.readShard },
  { operation: 'PutShard', method: 'PUT', path: exactly(`${shardsPath}/${cid}`), run: operations.putShard },
  {
    operation: 'AppendUpload',
    method: 'POST',
    path: exactly(`${uploadsPath}/${upload}`),
    run: operations.appendUpload,
  },
  { operation: 'CreateUpload', method: 'POST', path: exactly(uploadsPath), run: operations.createUpload },
  {
    operation: 'CommitUpload',
    method: 'POST',
    path: exactly(`${uploadsPath}/${upload}/commit`),
    run: operations.commitUpload,
  },
  { operation: 'DropUpload', method: 'DELETE', path: exactly(`${uploadsPath}/${upload}`), run: operations.dropUpload },
  { operation: 'ListShards', method: 'GET', path: exactly(shardsPath), run: operations.listShards },
  { operation: 'ReadRoot', method: 'GET', path: exactly(rootPath), run: operations.readRoot },
  { operation: 'WriteRoot', method: 'PUT', path: exactly(rootPath), run: operations.writeRoot },
  { operation: 'Reclaim', method: 'POST', path: exactly(reclaimPath), run: operations.reclaim },
  { operation: 'Capacity', method: 'GET', path: exactly(capacityPath), run: operations.capacity },
];

/** @returns the row that fits and what its group holds, or undefined */
export function findRoute(method: string, path: string): { route: NodeRoute; name: string } | undefined {
  for (const route of routes) {
    if (route.method !== method) continue;
    const match = route.path.exec(path);
    if (match !== null) return { route, name: match[1] ?? '' };
  }
  return undefined;
}

function exactly(path: string): RegExp {
  return new RegExp(`^${path}$`);
}
