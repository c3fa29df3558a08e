import fc from 'fast-check';

/** Few pieces, so that keys collide, nest, and stand on both sides of what sorts strangely. */
const pieces = ['a', 'b', '/', '//', '\0', '\ud7ff', '\ue000', '\uffff', '\u{1f600}', '\u{10ffff}'];
const text = (minLength: number, maxLength: number) =>
  fc.array(fc.constantFrom(...pieces), { minLength, maxLength }).map((all) => all.join(''));
const anyKey = fc.oneof(fc.constantFrom('a', 'a/b', '\u{1f600}'), text(1, 4));
/** A choice among what there is by then, by index modulo its number. */
const anyPick = fc.nat(1000);
const anyQuery = fc.record({ prefix: text(0, 2), delimiter: text(0, 1), limit: fc.integer({ min: 1, max: 5 }) });
const anyCondition = fc.constantFrom<'absent' | 'etag' | 'any' | undefined>(
  'absent',
  'etag',
  'any',
  undefined,
  undefined,
);

/** What a walk may do next. */
export const anyStep = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      verb: fc.constant('put' as const),
      key: anyKey,
      fresh: fc.nat(2),
      shared: fc.array(anyPick, { maxLength: 2 }),
      condition: anyCondition,
    }),
  },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('delete' as const), pick: anyPick }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('delete-version' as const), pick: anyPick }) },
  { weight: 3, arbitrary: fc.record({ verb: fc.constant('versioning' as const), enable: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      verb: fc.constant('profile' as const),
      profileName: fc.constantFrom('STANDARD', 'STANDARD_IA', undefined),
    }),
  },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('upload' as const), key: anyKey }) },
  {
    weight: 4,
    arbitrary: fc.record({
      verb: fc.constant('part' as const),
      pick: anyPick,
      partNumber: fc.integer({ min: 1, max: 3 }),
      fresh: fc.nat(2),
      shared: fc.array(anyPick, { maxLength: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('complete' as const), pick: anyPick, keep: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('abort' as const), pick: anyPick }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('tag' as const), pick: anyPick }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('move' as const), pick: anyPick }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('forget' as const), pick: anyPick }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant('repair' as const), pick: anyPick, index: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('lose' as const), pick: anyPick, index: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      verb: fc.constant('list' as const),
      query: anyQuery,
      after: text(0, 4),
      skip: fc.boolean(),
    }),
  },
);
export type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;
export type StepOf<Verb> = Extract<Step, { verb: Verb }>;
