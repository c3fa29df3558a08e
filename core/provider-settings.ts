import { z } from 'zod';

/** Also for the default providers, which share a disk with the metadata. */
export const defaultReserveBytes = 256 * 1024 * 1024;

/** Shorter shards are better off in segment files, longer ones in files of their own (docs/segment-format.md). */
export const defaultSegmentShardBytes = 320 * 1024;

/** Names of what may fail together: any words, but none that a terminal or a log would choke on. */
const label = z
  .string()
  .trim()
  .max(64)
  .regex(/^[^\p{C}]*$/u, 'must be printable characters');

/** A URL without anything secret in it, nor anything that requests would lose. */
const httpUrl = z.string().refine((text) => {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) return false;
  return url.username === '' && url.password === '' && url.search === '' && url.hash === '';
}, 'must be an http or https URL, without a user, a query or a fragment');

const weight = z.number().positive().max(1e6);
const capacityBytes = z.int().min(1);

/** What an operator may say of any provider, and change later. */
const common = {
  weight: weight.default(1),
  operator: label.default(''),
  country: label.default(''),
  zone: label.default(''),
  capacityBytes: capacityBytes.optional(),
};

const directory = {
  path: z.string().min(1).max(4096),
  /** Free space of the file system that new shards leave alone, for deletes and for the metadata beside them. */
  reserveBytes: z.int().min(0).default(defaultReserveBytes),
  /** Shards shorter than this share segment files; 0: every shard is a file. */
  segmentShardBytes: z.int().min(0).default(defaultSegmentShardBytes),
};

const node = {
  endpoint: httpUrl.refine((text) => URL.parse(text)?.pathname === '/', 'must end with the port'),
  /** As `holdfast node` keeps it in its file `node-key`. */
  key: z.string().regex(/^[0-9a-fA-F]{64}$/, 'must be the 64 hex digits of the node’s key'),
  /** Certificates to trust instead of the system's, in PEM: for a node that signed its own. */
  ca: z.string().includes('-----BEGIN CERTIFICATE-----', { error: 'must be a certificate in PEM' }).optional(),
};

const bucket = {
  /** Absent for AWS itself. */
  endpoint: httpUrl.optional(),
  region: z.string().regex(/^[A-Za-z0-9-]{1,63}$/, 'must be letters, digits and dashes'),
  bucket: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/, 'must be a bucket’s name'),
  prefix: z.string().max(512).default(''),
  accessKeyId: z.string().min(1).max(256),
  secretAccessKey: z.string().min(1).max(1024),
  /** `endpoint/bucket/key`, not `bucket.endpoint/key`; where nothing is said, true for any endpoint but AWS's own. */
  forcePathStyle: z.boolean().optional(),
};

export const providerIdSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 lower-case letters, digits and dashes');

/** A provider as the configuration file and the admin API name it. */
export const providerSchema = z.discriminatedUnion('kind', [
  z.strictObject({ id: providerIdSchema, kind: z.literal('directory'), ...directory, ...common }),
  z.strictObject({ id: providerIdSchema, kind: z.literal('node'), ...node, ...common }),
  z.strictObject({ id: providerIdSchema, kind: z.literal('bucket'), ...bucket, ...common }),
]);
export type ProviderSettings = z.output<typeof providerSchema>;

/** Where a provider is, without what is said of it otherwise. */
export const locationSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('directory'), ...directory }),
  z.strictObject({ kind: z.literal('node'), ...node }),
  z.strictObject({ kind: z.literal('bucket'), ...bucket }),
]);
export type LocationSettings = z.output<typeof locationSchema>;

/** What can be changed of a provider: what is not named stays as it is. */
export const providerChangesSchema = z.strictObject({
  weight: weight.optional(),
  operator: label.optional(),
  country: label.optional(),
  zone: label.optional(),
  /** Null takes the bound away. */
  capacityBytes: capacityBytes.nullable().optional(),
  /** Where the same shards are found from now on. */
  location: locationSchema.optional(),
});
export type ProviderChanges = z.output<typeof providerChangesSchema>;
