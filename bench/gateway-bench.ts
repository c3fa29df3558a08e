import { type BenchCase, benchCases } from './bench-case.ts';
import type { BenchReport, BenchRequest } from './bench-command.ts';
import { type CaseResult, compareServers } from './compare-servers.ts';
import { inspectorArguments } from './cpu-profiler.ts';
import type { Access } from './head-signer.ts';
import { createBucket } from './load.ts';
import { openBenchBucket } from './other-endpoint.ts';
import { findPace } from './pace.ts';
import { UsageError } from './parse-command-line.ts';
import { profileCase } from './profile-case.ts';
import { renderCases } from './render-cases.ts';
import { type ServerTarget, startTarget, type Target, type TargetName, targetNames } from './target.ts';

/** Directories of a gateway: as many as shards, and where writes are to go around the dead, so many more. */
const providerCount = 6;
const providerCountOfWrites = 8;

/** What is measured beside the limits: gateways of ours, or a server that is there already. */
interface Subject {
  readonly names: readonly TargetName[];
  readonly other?: ServerTarget | undefined;
  /** Makes room for the cases that come next. */
  clear(): Promise<void>;
}

/**
 * The gateway end to end, beside what limits it; or the same load against any other S3 endpoint, where it fills a bucket of its own
 * and empties it again.
 */
export async function benchGateway(request: BenchRequest): Promise<BenchReport> {
  const cases = chooseCases(request);
  if (request.against !== undefined) return benchOther(cases, request, readAccess(request));
  const own: Subject = { names: ['gateway'], clear: async () => {} };
  return request.isProfiling ? profileCases(cases, request, own) : benchCasesOf(cases, request, own);
}

async function benchOther(cases: readonly BenchCase[], request: BenchRequest, access: Access): Promise<BenchReport> {
  const { bucket } = request;
  const opened = await openBenchBucket(access, bucket);
  try {
    const other: ServerTarget = { name: 'other', access, bucket, pid: undefined, stop: async () => {} };
    const subject: Subject = { names: ['other'], other, clear: () => opened.empty() };
    const alive = cases.filter(({ isWithDead }) => !isWithDead);
    return await benchCasesOf(alive, request, subject);
  } finally {
    await opened.close();
  }
}

function readAccess({ against, accessKey, secretKey, region, isProfiling }: BenchRequest): Access {
  if (accessKey === undefined) throw new UsageError('--against needs --access-key, or AWS_ACCESS_KEY_ID');
  if (secretKey === undefined) throw new UsageError('--against needs --secret-key, or AWS_SECRET_ACCESS_KEY');
  if (isProfiling) throw new UsageError('--against and --profile do not go together');
  return { url: new URL(against!), accessKeyId: accessKey, secretAccessKey: secretKey, region };
}

function chooseCases({ names, isQuick }: BenchRequest): BenchCase[] {
  if (names.length > 0) return benchCases.filter(({ name }) => names.some((prefix) => name.startsWith(prefix)));
  return benchCases.filter(({ isInQuick }) => isInQuick || !isQuick);
}

function report(results: readonly CaseResult[], failures: readonly string[] = []): BenchReport {
  const rows = results.flatMap(({ benchCase, servers, clientCpuMicros }) => {
    const { name, isInQuick: _, ...about } = benchCase;
    return Object.entries(servers).map(([server, measured]) => ({
      case: name,
      ...about,
      server,
      ...measured,
      clientCpuMicros,
    }));
  });
  return { text: renderCases(results), rows, failures };
}

/**
 * One start of all servers for each size, so that no case finds a disk full of another's files; and for each case in which
 * providers die. A case that fails leaves the others as they are.
 */
async function benchCasesOf(
  cases: readonly BenchCase[],
  request: BenchRequest,
  subject: Subject,
): Promise<BenchReport> {
  const groups = Object.groupBy(cases, ({ name, sizeName, isWithDead }) => (isWithDead ? name : sizeName));
  const results: CaseResult[] = [];
  const failures: string[] = [];
  for (const group of Object.values(groups)) {
    await using started = new AsyncDisposableStack();
    const targets = await startTargets(group ?? [], request, { subject, started });
    for (const benchCase of group ?? []) {
      request.progress(benchCase.name);
      const lanes = targets.filter(({ name }) => findTargets(benchCase, request, subject).includes(name));
      try {
        results.push(await compareServers(benchCase, lanes, findPace(request)));
      } catch (error) {
        failures.push(`${benchCase.name}: ${(error as Error).message}`);
        request.progress(failures.at(-1)!);
      }
      await subject.clear();
    }
  }
  return report(results, failures);
}

/** @param parts.started ends them */
async function startTargets(
  group: readonly BenchCase[],
  request: BenchRequest,
  { subject, started }: { subject: Subject; started: AsyncDisposableStack },
): Promise<Target[]> {
  const { folder, isReadingProviders, isProfiling } = request;
  const [{ bytes, isWithDead, operation }] = group as [BenchCase];
  const setting = {
    folder,
    bytes,
    nodeArguments: isProfiling ? inspectorArguments : [],
    // What lies in memory would be read whether providers are dead or not.
    isReadingProviders: isReadingProviders || isWithDead,
    providerCount: isWithDead && operation !== 'get' ? providerCountOfWrites : providerCount,
  };
  const targets: Target[] = [];
  for (const name of targetNames) {
    if (!group.some((benchCase) => findTargets(benchCase, request, subject).includes(name))) continue;
    const target = name === 'other' ? subject.other! : await startTarget(name, setting);
    targets.push(started.adopt(target, () => target.stop()));
    if ('gateway' in target) await createBucket(target.access, target.bucket);
  }
  return targets;
}

function findTargets(
  { operation, limit, isWithDead, bytes }: BenchCase,
  { beside, isProfiling }: BenchRequest,
  { names }: Subject,
): TargetName[] {
  if (isProfiling) return [...names];
  const isWhole = operation === 'put' || operation === 'get';
  const besides = beside.filter((name) => {
    // Servers of files know no listings and no ranges; appends are packs, and no more than a group of them is meant to be written.
    if (name === 'appends') return operation === 'put' && bytes <= 65_536;
    return isWhole || name !== 'file';
  });
  return [limit, ...besides, ...names, ...(isWithDead ? (['one-dead', 'm-dead'] as const) : [])];
}

async function profileCases(
  cases: readonly BenchCase[],
  request: BenchRequest,
  subject: Subject,
): Promise<BenchReport> {
  const texts: string[] = [];
  const results: CaseResult[] = [];
  for (const benchCase of cases.filter(({ isWithDead }) => !isWithDead)) {
    request.progress(benchCase.name);
    await using started = new AsyncDisposableStack();
    const targets = await startTargets([benchCase], request, { subject, started });
    const profiled = targets.find(({ name }) => name === 'gateway')!;
    const { result, text } = await profileCase(benchCase, { targets, profiled, pace: findPace(request) });
    results.push(result);
    texts.push(text);
  }
  const { text, rows } = report(results);
  return { text: [text, ...texts].join('\n'), rows };
}
