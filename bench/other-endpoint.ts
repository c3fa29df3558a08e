import {
  CreateBucketCommand,
  DeleteBucketCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { type Access, HeadSigner } from './head-signer.ts';
import { LoadGenerator, type PreparedRequest } from './load.ts';

/** Says of a bucket that a benchmark made it, should one be cut short and leave its objects. */
const markerKey = 'made-by-holdfast-bench';
const deleteClients = 16;

/** The bucket is somebody's. */
export class RefusedBucketError extends Error {}

/** A bucket at any S3 endpoint that a benchmark may fill. */
export interface BenchBucket {
  /** Deletes what was written, so that the next cases find the room. */
  empty(): Promise<void>;
  /** Deletes what was written, and the bucket if it was made here. */
  close(): Promise<void>;
}

/**
 * Makes the bucket, or takes one that is empty, or that an earlier run made and left.
 *
 * @throws RefusedBucketError where something else lies in it: nothing of it is touched
 */
export async function openBenchBucket(access: Access, bucket: string): Promise<BenchBucket> {
  const client = new S3Client({
    endpoint: access.url.href,
    region: access.region,
    credentials: { accessKeyId: access.accessKeyId, secretAccessKey: access.secretAccessKey },
    forcePathStyle: true,
    // What servers understand that are not AWS's.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  const isMade = await makeOurs(client, bucket);
  const empty = (): Promise<void> => emptyBucket(client, access, bucket);
  await empty();
  return {
    empty,
    async close() {
      await empty();
      if (isMade) {
        await deleteAll(access, bucket, [markerKey]);
        await client.send(new DeleteBucketCommand({ Bucket: bucket }));
      }
      client.destroy();
    },
  };
}

/** @returns whether the bucket was made by a benchmark */
async function makeOurs(client: S3Client, bucket: string): Promise<boolean> {
  if (!(await hasBucket(client, bucket))) {
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    await client.send(
      new PutObjectCommand({ Bucket: bucket, Key: markerKey, Body: Buffer.from('see docs/performance.md\n') }),
    );
    return true;
  }
  const found = await client.send(new ListObjectsV2Command({ Bucket: bucket, MaxKeys: 1 }));
  if (!found.Contents?.length) return false;
  const marked = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: markerKey, MaxKeys: 1 }));
  if (marked.Contents?.[0]?.Key === markerKey) return true;
  throw new RefusedBucketError(
    `the bucket ${bucket} is not empty, and no benchmark made it: ${found.Contents[0]?.Key} lies in it`,
  );
}

async function hasBucket(client: S3Client, bucket: string): Promise<boolean> {
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }));
    return true;
  } catch (error) {
    if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 404) return false;
    throw error;
  }
}

/** All but the marker. Page by page from the start: what was listed is gone by the next one. */
async function emptyBucket(client: S3Client, access: Access, bucket: string): Promise<void> {
  for (;;) {
    const page = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
    const keys = (page.Contents ?? []).flatMap(({ Key }) => (Key === undefined || Key === markerKey ? [] : [Key]));
    if (keys.length === 0) return;
    await deleteAll(access, bucket, keys);
  }
}

/** One by one: some servers know no DeleteObjects, and few agree on what digest it needs. */
async function deleteAll(access: Access, bucket: string, keys: readonly string[]): Promise<void> {
  const signer = new HeadSigner(access);
  const requests = keys.map((key): PreparedRequest => {
    const path = `/${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
    return {
      name: `DELETE ${path}`,
      head: signer.sign({ method: 'DELETE', path, bodyBytes: 0 }),
      body: undefined,
      isRight: ({ status }) => status === 204 || status === 200 || status === 404,
    };
  });
  const clients = Math.min(deleteClients, requests.length);
  await new LoadGenerator({ url: access.url, requests, clients }).runAll();
}
