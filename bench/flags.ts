import { tmpdir } from 'node:os';
import { z } from 'zod';

/** 50 million a day are 579 a second. */
const dayRate = 5 * 579;

/** A flag of the command line: `key` is its name in `FlagValues`, `value` what stands after it, if anything does. */
interface Flag {
  readonly key: string;
  readonly value?: string;
  readonly summary: string;
  readonly schema: z.ZodType;
}

const positive = z.coerce.number('must be a number').positive('must be more than 0');

/** All flags that some benchmark takes, but for `--help` and `--json`, which stand for all. */
export const flags = {
  quick: { key: 'isQuick', summary: 'few and short rounds, and rougher', schema: z.boolean().default(false) },
  folder: {
    key: 'folder',
    value: 'PATH',
    summary: "on which disk to measure; the system's folder for temporary files unless given",
    schema: z.string().min(1, 'must name a folder').default(tmpdir()),
  },
  profile: {
    key: 'isProfiling',
    summary: "the gateway alone, under node's CPU profiler; files go to bench/results/",
    schema: z.boolean().default(false),
  },
  'sign-live': {
    key: 'isSigningLive',
    summary: 'the client signs each request as it goes, as SDKs do, and not all of them beforehand',
    schema: z.boolean().default(false),
  },
  'from-providers': {
    key: 'isReadingProviders',
    summary: 'the gateway keeps no small object in memory: each GET asks a provider',
    schema: z.boolean().default(false),
  },
  minutes: { key: 'minutes', value: 'N', summary: 'how long; 60 unless given', schema: positive.default(60) },
  rate: {
    key: 'rate',
    value: 'N',
    summary: `requests a second; ${dayRate} unless given, five times 50 million a day`,
    schema: positive.default(dayRate),
  },
  seed: {
    key: 'seed',
    value: 'N',
    summary: 'of what is drawn at random; 1 unless given',
    schema: z.coerce.number('must be a number').int('must be a whole number').default(1),
  },
} as const satisfies Record<string, Flag>;

export type FlagName = keyof typeof flags;

/** The flags' values by their keys; those that a command does not take have their defaults. */
export type FlagValues = {
  readonly [Name in FlagName as (typeof flags)[Name]['key']]: z.output<(typeof flags)[Name]['schema']>;
};
