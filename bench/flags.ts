import { tmpdir } from 'node:os';
import { z } from 'zod';
import type { TargetName } from './target.ts';

/** 50 million a day are 579 a second. */
const dayRate = 5 * 579;

/** A flag of the command line: `key` is its name in `FlagValues`, `value` what stands after it, if anything does. */
interface Flag {
  readonly key: string;
  readonly value?: string;
  /** Of the environment, which stands in where the flag is not given. */
  readonly variable?: string;
  readonly summary: string;
  readonly schema: z.ZodType;
}

const positive = z.coerce.number('must be a number').positive('must be more than 0');

const besideNames = ['null', 'md5', 'file', 'appends', 'file-per-shard', 'gateway'] as const satisfies TargetName[];

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
  beside: {
    key: 'beside',
    value: 'NAMES',
    summary: `what else is measured by turns, with commas between: ${besideNames.join(', ')}`,
    schema: z
      .string()
      .transform((text) => text.split(','))
      .pipe(z.array(z.enum(besideNames, `must be of ${besideNames.join(', ')}`)))
      .default([]),
  },
  against: {
    key: 'against',
    value: 'URL',
    summary:
      'the same load against any S3 endpoint (path style), without figures of its CPU; dead providers are left out',
    schema: z.url({ protocol: /^https?$/, error: 'must be a URL of http or https' }).optional(),
  },
  bucket: {
    key: 'bucket',
    value: 'NAME',
    summary:
      'of that endpoint: is made, filled and emptied; one that is there must be empty; holdfast-bench unless given',
    schema: z
      .string()
      .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'must be the name of a bucket')
      .default('holdfast-bench'),
  },
  'access-key': {
    key: 'accessKey',
    value: 'KEY',
    variable: 'AWS_ACCESS_KEY_ID',
    summary: 'of that endpoint; AWS_ACCESS_KEY_ID unless given',
    schema: z.string().min(1, 'must not be empty').optional(),
  },
  'secret-key': {
    key: 'secretKey',
    value: 'KEY',
    variable: 'AWS_SECRET_ACCESS_KEY',
    summary: 'of that endpoint; AWS_SECRET_ACCESS_KEY, which no other user of this machine can see, unless given',
    schema: z.string().min(1, 'must not be empty').optional(),
  },
  region: {
    key: 'region',
    value: 'NAME',
    variable: 'AWS_REGION',
    summary: 'of that endpoint; AWS_REGION unless given, else us-east-1',
    schema: z.string().min(1, 'must not be empty').default('us-east-1'),
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
