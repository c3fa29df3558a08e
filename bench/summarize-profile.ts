import { fileURLToPath } from 'node:url';

/** The parts of a V8 CPU profile that are used here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Microseconds, one for each sample. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileSummary {
  readonly busySeconds: number;
  /** Self time by folder, package or part of node, longest first; shares of the busy time. */
  readonly areas: readonly ProfileShare[];
  readonly functions: readonly ProfileShare[];
}

export interface ProfileShare {
  readonly name: string;
  readonly share: number;
}

const project = fileURLToPath(new URL('..', import.meta.url));

/** Where the thread that runs the JavaScript spent its time. Threads that serve files are not in a profile. */
export function summarizeProfile(profile: CpuProfile): ProfileSummary {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const areas = new Map<string, number>();
  const functions = new Map<string, number>();
  let busy = 0;
  for (const [index, id] of profile.samples.entries()) {
    const frame = frames.get(id);
    const micros = profile.timeDeltas[index] ?? 0;
    if (frame === undefined || frame.functionName === '(idle)') continue;
    busy += micros;
    const file = nameFile(frame.url);
    const name = frame.functionName || '(anonymous)';
    add(areas, nameArea(name, file), micros);
    add(functions, file === '' ? name : `${name} ${file}:${frame.lineNumber + 1}`, micros);
  }
  return { busySeconds: busy / 1e6, areas: rank(areas, busy, 16), functions: rank(functions, busy, 30) };
}

function nameFile(url: string): string {
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  return path.startsWith(project) ? path.slice(project.length) : path;
}

/** A folder of ours, a package, a module of node, or what V8 itself does. */
function nameArea(name: string, file: string): string {
  if (file === '') return name.startsWith('(') ? name : 'native code';
  if (file.startsWith('wasm:')) return 'wasm';
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file);
  if (inPackage) return `package ${inPackage[1]}`;
  if (file.startsWith('node:')) return file.replace(/^node:internal\/([^/]+).*/, 'node:$1');
  return `${file.split('/')[0]}/`;
}

function add(sums: Map<string, number>, name: string, micros: number): void {
  sums.set(name, (sums.get(name) ?? 0) + micros);
}

function rank(sums: ReadonlyMap<string, number>, total: number, count: number): ProfileShare[] {
  const sorted = [...sums].toSorted((a, b) => b[1] - a[1]).slice(0, count);
  return sorted.map(([name, micros]) => ({ name, share: micros / total }));
}
