import fc from 'fast-check';
import { maxPackObjectBytes } from '../../engine/engine-limits.ts';
import { type Callee, damageKinds, flakyCalls } from './place.ts';
import { conditionKinds } from './s3-model.ts';
import { providerKinds, type WorldSetting } from './world.ts';

const KiB = 1024;

/** Few pieces, so that keys collide, nest, and stand on both sides of what sorts strangely. */
const anyKey = fc.constantFrom('a', 'a/b', 'a/c', 'a//', 'b', '/', '\u{1f600}', '\uffff/x');
const anyText = fc.constantFrom('', 'a', 'a/', 'a/b', 'b', '/', '\u{1f600}', '\uffff');
/** A choice among what there is by then, by index modulo its number. */
const anyPick = fc.nat(1_000);
const anyFraction = fc.integer({ min: 0, max: 1_000 }).map((permille) => permille / 1_000);
/** Around one byte, one package, the longest object of a pack, several shards, and rarely several rows. */
const anySize = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 100, 4095, 4096, 4097) },
  { weight: 1, arbitrary: fc.constantFrom(64 * KiB - 1, 64 * KiB, 64 * KiB + 1, 128 * KiB, 128 * KiB + 1) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 6_000 }) },
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 100 * KiB }) },
  { weight: 1, arbitrary: fc.integer({ min: 130 * KiB, max: 1300 * KiB }) },
);
const anyCondition = fc.oneof(
  { weight: 4, arbitrary: fc.constant('none' as const) },
  { weight: 1, arbitrary: fc.constantFrom(...conditionKinds) },
);
const anyDigest = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('none' as const, 'right' as const) },
  { weight: 1, arbitrary: fc.constant('wrong' as const) },
);
const anyAlgorithm = fc.constantFrom('CRC64NVME', 'SHA256', undefined, undefined);
const anyBody = {
  sizeBytes: anySize,
  isUnsized: fc.boolean(),
  digest: anyDigest,
};
const anyPage = {
  prefix: anyText,
  delimiter: fc.constantFrom('', '', '/', 'a'),
  limit: fc.integer({ min: 1, max: 4 }),
};

type Arbitraries = Record<string, fc.Arbitrary<unknown>>;
type Drawn<Fields extends Arbitraries> = {
  readonly [Name in keyof Fields]: Fields[Name] extends fc.Arbitrary<infer T> ? T : never;
};

function act<const Verb extends string, Fields extends Arbitraries>(
  weight: number,
  verb: Verb,
  fields: Fields,
): { weight: number; arbitrary: fc.Arbitrary<{ readonly verb: Verb } & Drawn<Fields>> } {
  const arbitrary = fc.record<{ verb: string } & Record<string, unknown>>({ ...fields, verb: fc.constant(verb) });
  return { weight, arbitrary: arbitrary as fc.Arbitrary<{ readonly verb: Verb } & Drawn<Fields>> };
}

const anyPut = act(10, 'put', { key: anyKey, ...anyBody, condition: anyCondition, algorithm: anyAlgorithm });
const anyCopy = act(6, 'copy', {
  pick: anyPick,
  isNamed: fc.boolean(),
  key: fc.option(anyKey, { nil: undefined }),
  replaces: fc.boolean(),
  condition: anyCondition,
  algorithm: anyAlgorithm,
});
const anyPart = act(8, 'part', { pick: anyPick, partNumber: fc.integer({ min: 1, max: 3 }), ...anyBody });
const anyPartCopy = act(6, 'copy-part', {
  pick: anyPick,
  partNumber: fc.integer({ min: 1, max: 3 }),
  source: anyPick,
  range: fc.option(fc.tuple(anyFraction, anyFraction), { nil: undefined }),
});
const anyGet = act(6, 'get', {
  pick: anyPick,
  isNamed: fc.boolean(),
  part: fc.option(fc.nat(4), { nil: undefined }),
  range: fc.option(
    fc.record({ kind: fc.constantFrom('from', 'open', 'suffix'), first: anyFraction, last: anyFraction }),
    { nil: undefined },
  ),
});
const anyUpkeep = act(4, 'upkeep', {});
const anyCalm = act(4, 'calm', {});
const anyAge = act(2, 'age', {});

/** What clients and the world do, one thing at a time. */
const anyAct = fc.oneof(
  anyPut,
  anyCopy,
  anyPart,
  anyPartCopy,
  anyGet,
  anyUpkeep,
  anyCalm,
  anyAge,
  act(4, 'delete', { key: anyKey, condition: anyCondition }),
  act(4, 'delete-version', { pick: anyPick }),
  act(2, 'versioning', { enable: fc.boolean() }),
  act(1, 'tag', { pick: anyPick, isNamed: fc.boolean() }),
  act(2, 'upload', { key: anyKey, algorithm: anyAlgorithm }),
  act(6, 'complete', {
    pick: anyPick,
    keep: fc.nat(7),
    flaw: fc.constantFrom('none', 'none', 'none', 'none', 'none', 'none', 'order', 'etag', 'size'),
    condition: anyCondition,
  }),
  act(1, 'complete-again', { pick: anyPick, isSame: fc.boolean() }),
  act(1, 'abort', { pick: anyPick }),
  act(1, 'list', { ...anyPage, after: anyText, skipsPrefix: fc.boolean() }),
  act(1, 'list-versions', { ...anyPage, marker: fc.option(anyPick, { nil: undefined }), isNamed: fc.boolean() }),
  act(1, 'read', { pick: anyPick }),
  act(1, 'read-on', { pick: anyPick }),
  act(5, 'lose', { pick: anyPick }),
  act(2, 'return', { pick: anyPick }),
  act(3, 'flaky', { pick: anyPick, call: fc.constantFrom(...flakyCalls), when: fc.constantFrom('before', 'after') }),
  act(3, 'damage', { pick: anyPick, shard: anyPick, kind: fc.constantFrom(...damageKinds) }),
  act(4, 'tick', { ms: fc.constantFrom(600, 2_000, 15_000, 7_200_000) }),
);

/** Those that call providers: in the middle of the others nothing else can happen. */
const anyLongAct = fc.oneof(anyPut, anyCopy, anyPart, anyPartCopy, anyGet, anyUpkeep, anyCalm, anyAge);

export type Act = typeof anyAct extends fc.Arbitrary<infer T> ? T : never;
export type ActOf<Verb extends Act['verb']> = Extract<Act, { verb: Verb }>;

const anyMoment = { at: fc.oneof(fc.nat(3), fc.nat(18)), when: fc.constantFrom('before' as const, 'after' as const) };
const anyCallee = fc.constantFrom<Callee>('providers', 'store');
const anyRace = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      verb: fc.constant('put' as const),
      key: anyKey,
      sizeBytes: anySize,
      isAbsent: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('get' as const), key: anyKey }) },
);
export type Race = typeof anyRace extends fc.Arbitrary<infer T> ? T : never;

/** An act by itself, one in the middle of another, several at once, and the end of a process in the middle of an act. */
export const anyStep = fc.oneof(
  { weight: 20, arbitrary: anyAct },
  act(1, 'restart', {}),
  act(8, 'during', { ...anyMoment, outer: anyLongAct, inner: anyAct }),
  act(4, 'crash', { ...anyMoment, callee: anyCallee, outer: anyLongAct }),
  act(1, 'together', { races: fc.array(anyRace, { minLength: 2, maxLength: 5 }) }),
);
export type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;
export type StepOf<Verb extends Step['verb']> = Extract<Step, { verb: Verb }>;

/** With as many providers as shards a lost one makes stripes degraded; with more, shards go elsewhere. */
const anyShape = fc.constantFrom<Pick<WorldSetting, 'k' | 'm' | 'providerCount'>>(
  { k: 1, m: 2, providerCount: 3 },
  { k: 1, m: 2, providerCount: 4 },
  { k: 2, m: 1, providerCount: 4 },
  { k: 2, m: 4, providerCount: 6 },
  { k: 3, m: 2, providerCount: 5 },
  { k: 4, m: 2, providerCount: 6 },
  { k: 4, m: 2, providerCount: 7 },
);

export const anyWorld: fc.Arbitrary<WorldSetting> = fc
  .tuple(
    anyShape,
    fc.oneof(
      { weight: 11, arbitrary: fc.constant(providerKinds[0]) },
      { weight: 1, arbitrary: fc.constant(providerKinds[1]) },
    ),
    fc.oneof(
      { weight: 4, arbitrary: fc.constant(maxPackObjectBytes) },
      { weight: 1, arbitrary: fc.constantFrom(0, 5_000) },
    ),
  )
  .map(([shape, providerKind, packObjectBytes]) => ({ ...shape, providerKind, packObjectBytes }));

/** Begins with some objects, since without them most acts have nothing to act on. */
const anySteps = fc
  .tuple(
    fc.array(anyPut.arbitrary, { minLength: 1, maxLength: 3 }),
    fc.array(anyStep, { minLength: 10, maxLength: 30, size: 'max' }),
  )
  .map(([puts, steps]): Step[] => [...puts, ...steps]);

export const anyHistory = fc.record({ setting: anyWorld, steps: anySteps });
