import { objectOperation } from '../operation.ts';
import { openForRead } from '../read-object.ts';

export const headObject = objectOperation({
  name: 'HeadObject',
  method: 'HEAD',
  async handle(call) {
    const { status, headers } = await openForRead(call);
    return { status, headers };
  },
});
