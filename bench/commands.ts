import type { BenchCommand } from './bench-command.ts';
import { benchChurn } from './churn.ts';
import { benchCodecs } from './codec.ts';
import { benchDay } from './day.ts';
import { benchGateway } from './gateway-bench.ts';
import { benchGatewayPath } from './gateway-path.ts';
import { benchHashes } from './hashes.ts';
import { benchNode } from './node.ts';
import { findPace } from './pace.ts';
import { benchPipeline } from './pipeline.ts';
import { benchSlowProvider } from './slow-provider.ts';
import { benchUpkeep } from './upkeep.ts';

/** What `npm run bench` can do, in the order in which it does it. */
export const commands: readonly BenchCommand[] = [
  {
    name: 'codec',
    summary: 'the erasure codec: data bytes a second on one core',
    flags: ['quick'],
    isInDefault: true,
    run: benchCodecs,
  },
  {
    name: 'hashes',
    summary: 'MD5 of one stream and of several at once, beside SHA-256 and AES-256-GCM: bytes a second on one core',
    flags: ['quick'],
    isInDefault: true,
    run: benchHashes,
  },
  {
    name: 'pipeline',
    summary: 'the CPU path of large objects from memory to memory, and a gateway, beside what their parts add up to',
    flags: ['quick', 'folder'],
    isInDefault: true,
    run: benchPipeline,
  },
  {
    name: 'gateway',
    summary: 'the gateway end to end, beside its limits',
    flags: [
      ...(['quick', 'folder', 'beside', 'profile', 'sign-live', 'from-providers'] as const),
      ...(['against', 'bucket', 'access-key', 'secret-key', 'region'] as const),
    ],
    isInDefault: true,
    run: benchGateway,
  },
  {
    name: 'path',
    summary: "the gateway's own cost only: its HTTP and S3 layers over an engine that stores nothing, beside node:http",
    flags: ['quick', 'profile', 'sign-live'],
    isInDefault: false,
    run: (request) => benchGatewayPath({ pace: findPace(request), isProfiling: request.isProfiling }),
  },
  {
    name: 'node',
    summary: 'small puts and reads through a node and straight into its directory; streams beside plain node:http',
    flags: ['quick', 'folder'],
    isInDefault: false,
    run: benchNode,
  },
  {
    name: 'upkeep',
    summary: 'repair and drain over directories, beside a raw copy of the same bytes on the same disk',
    flags: ['quick', 'folder'],
    isInDefault: false,
    run: benchUpkeep,
  },
  {
    name: 'slow-provider',
    summary: 'p99 of GET with one provider ten times slower than the rest, with hedging and without',
    flags: ['quick', 'seed'],
    isInDefault: false,
    run: benchSlowProvider,
  },
  {
    name: 'churn',
    summary: 'disk use after overwrites and deletes, against what live data need',
    flags: ['quick', 'folder'],
    isInDefault: false,
    run: benchChurn,
  },
  {
    name: 'day',
    summary: 'small PUTs at a rate that is held for long, as an open loop: is p99 flat, and memory?',
    flags: ['folder', 'minutes', 'rate'],
    isInDefault: false,
    run: (request) => benchDay(request, request.say),
  },
];
