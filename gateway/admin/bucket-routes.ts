import { z } from 'zod';
import { type Bucket, etagKinds } from '../../core/model.ts';
import { type AdminRoute, adminRoute } from './admin-route.ts';

const path = z.strictObject({ name: z.string().max(63) });
const missing = [404, 'NoSuchBucket'] as const;

const bucketProfile = z
  .strictObject({
    bucket: z.string(),
    profile: z
      .string()
      .nullable()
      .meta({ description: 'What objects get that are written without a storage class; null: STANDARD' }),
  })
  .meta({ id: 'BucketProfile' });

const bucketETags = z
  .strictObject({
    bucket: z.string(),
    etags: z.enum(etagKinds).nullable().meta({
      description:
        'What the ETag of new objects and parts is: the MD5 of their bytes, or opaque, which is cheaper; null: as the server is configured',
    }),
  })
  .meta({ id: 'BucketETags' });

function renderETags({ name, etags }: Bucket): z.input<typeof bucketETags> {
  return { bucket: name, etags: etags ?? null };
}

function renderProfile({ name, profileName }: Bucket): z.input<typeof bucketProfile> {
  return { bucket: name, profile: profileName ?? null };
}

/** What operators say of buckets that S3 has no request for. */
export const bucketRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/v1/buckets/{name}/profile',
    name: 'readBucketProfile',
    summary: 'The default profile of a bucket',
    pathSchema: path,
    answerSchema: bucketProfile,
    refusals: [missing],
    act: async ({ buckets }, { path: { name } }) => renderProfile(await buckets.get(name)),
  }),
  adminRoute({
    method: 'PUT',
    path: '/admin/v1/buckets/{name}/profile',
    name: 'setBucketProfile',
    summary: 'Sets the default profile of a bucket, for what is written from then on; what is stored stays as it is',
    pathSchema: path,
    bodySchema: bucketProfile.pick({ profile: true }),
    answerSchema: bucketProfile,
    refusals: [missing, [400, 'InvalidProfile']],
    act: async ({ buckets }, { path: { name }, body: { profile } }) => {
      await buckets.setProfile(name, profile ?? undefined);
      return renderProfile(await buckets.get(name));
    },
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/v1/buckets/{name}/etags',
    name: 'readBucketETags',
    summary: 'What the ETags of a bucket are',
    pathSchema: path,
    answerSchema: bucketETags,
    refusals: [missing],
    act: async ({ buckets }, { path: { name } }) => renderETags(await buckets.get(name)),
  }),
  adminRoute({
    method: 'PUT',
    path: '/admin/v1/buckets/{name}/etags',
    name: 'setBucketETags',
    summary: 'Sets what the ETags of a bucket are, for what is written from then on; what is stored keeps its own',
    pathSchema: path,
    bodySchema: bucketETags.pick({ etags: true }),
    answerSchema: bucketETags,
    refusals: [missing],
    act: async ({ buckets }, { path: { name }, body: { etags } }) => {
      await buckets.setETags(name, etags ?? undefined);
      return renderETags(await buckets.get(name));
    },
  }),
];
