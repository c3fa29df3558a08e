import { bucketOperation } from '../operation.ts';

export const deleteBucket = bucketOperation({
  name: 'DeleteBucket',
  method: 'DELETE',
  async handle(call) {
    await call.engine.buckets.delete(call.bucket.name);
    return { status: 204 };
  },
});
