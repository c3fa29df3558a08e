import { bucketOperation } from '../operation.ts';

export const headBucket = bucketOperation({
  name: 'HeadBucket',
  method: 'HEAD',
  async handle({ bucket }) {
    return {
      status: 200,
      headers: {
        'content-type': 'application/xml',
        'x-amz-bucket-region': bucket.region,
        'x-amz-access-point-alias': 'false',
      },
    };
  },
});
