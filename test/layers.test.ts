import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('..', import.meta.url));

/** What each folder may import of the others; docs/architecture.md has the reasons. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  bin: ['node', 'gateway', 'engine', 'erasure', 'crypto', 'placement', 'metadata', 'core'],
  gateway: ['engine', 'core'],
  engine: ['erasure', 'crypto', 'placement', 'metadata', 'core'],
  erasure: ['core'],
  crypto: ['core'],
  node: ['placement', 'core'],
  placement: ['core'],
  metadata: ['core'],
  core: [],
};
const layers = Object.keys(mayImport);

/** Libraries that only these folders may know, so that they can be replaced there. */
const onlyIn: Readonly<Record<string, readonly string[]>> = {
  express: ['gateway'],
  saxes: ['gateway'],
  '@aws-sdk/client-s3': ['placement'],
  'better-sqlite3': ['metadata', 'placement'],
  '@subspace/reed-solomon-erasure.wasm': ['erasure'],
  multiformats: ['erasure'],
  zod: ['core', 'gateway'],
  pino: ['core'],
  'prom-client': ['core'],
  undici: ['placement'],
};

interface SourceFile {
  /** From the project's folder, with slashes. */
  readonly path: string;
  readonly layer: string;
  readonly code: string;
  readonly imports: readonly string[];
}

const files: SourceFile[] = layers.flatMap((layer) =>
  globSync(`${layer}/**/*.{ts,js,mjs,cjs,mts,cts}`, { cwd: project }).map((found) => {
    const path = found.replaceAll('\\', '/');
    const code = withoutComments(readFileSync(join(project, path), 'utf8'));
    return { path, layer, code, imports: listImports(code) };
  }),
);

/** Comments may name what code may not. Good enough for our own files: a string that holds `//` follows a colon. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1');
}

function listImports(code: string): string[] {
  const patterns = [
    /\bfrom\s*['"]([^'"]+)['"]/g,
    /\bimport\s*['"]([^'"]+)['"]/g,
    /\b(?:import|require|createRequire\(.*?\)|resolve)\s*\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map(([, specifier]) => specifier as string));
}

/** The folder that a relative import leads to: a layer, or whatever else stands first in its path. */
function folderOf(path: string, specifier: string): string {
  const target = resolve(project, dirname(path), specifier);
  return relative(project, target).replaceAll('\\', '/').split('/')[0] as string;
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

describe('the layers', () => {
  it('are all there, and the test sees what they import', () => {
    for (const layer of layers)
      assert.ok(
        files.some((file) => file.layer === layer),
        layer,
      );
    const relativeImports = files.flatMap(({ imports }) => imports.filter((specifier) => specifier.startsWith('.')));
    assert.ok(relativeImports.length > files.length);
  });

  it('import only downwards', () => {
    const offences = files.flatMap(({ path, layer, imports }) =>
      imports
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => folderOf(path, specifier))
        .filter((folder) => folder !== layer && !mayImport[layer]?.includes(folder))
        .map((folder) => `${path} imports ${folder}/`),
    );
    assert.deepEqual(offences, []);
  });

  it('import files by their whole name, and no folder', () => {
    const offences = files.flatMap(({ path, imports }) =>
      imports
        .filter((specifier) => specifier.startsWith('.') && !/\.(ts|json)$/.test(specifier))
        .map((specifier) => `${path}: ${specifier}`),
    );
    assert.deepEqual(offences, []);
  });

  it('keep each library to the folder that hides it', () => {
    const offences = files.flatMap(({ path, layer, imports }) =>
      imports
        .filter((specifier) => !(onlyIn[packageOf(specifier)] ?? [layer]).includes(layer))
        .map((specifier) => `${path} imports ${specifier}`),
    );
    assert.deepEqual(offences, []);
  });

  it('read the environment in bin/ only, and the argument vector too', () => {
    const offences = files
      .filter(
        ({ layer, code }) =>
          layer !== 'bin' &&
          /\bprocess\s*(\.|\?\.)\s*(env|argv)\b|\bprocess\s*\[|\{[^}]*\b(env|argv)\b[^}]*\}\s*=\s*process\b|import\s*\{[^}]*\b(env|argv)\b[^}]*\}\s*from\s*['"]node:process/.test(
            code,
          ),
      )
      .map(({ path }) => path);
    assert.deepEqual(offences, []);
  });

  it('neither write to the console nor end the process, but for bin/', () => {
    const offences = files
      .filter(
        ({ layer, code }) => layer !== 'bin' && /\bconsole\s*\.|\bprocess\s*\.\s*(exit|stdout|stderr)\b/.test(code),
      )
      .map(({ path }) => path);
    assert.deepEqual(offences, []);
  });

  it('have nothing that the oldest node does not have which package.json allows', () => {
    // Node 22: no explicit resource management. The tests and the bench run on a newer one.
    const newer = /\busing\s+\w+\s*=|\bDisposableStack\b|\bAsyncDisposableStack\b|\bPromise\.try\b|\bRegExp\.escape\b/;
    assert.match('await using opened = open();', newer);
    assert.deepEqual(
      files.filter(({ code }) => newer.test(code)).map(({ path }) => path),
      [],
    );
  });
});
