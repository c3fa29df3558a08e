import { releaseEach } from '../../core/release-memory.ts';
import { objectOperation } from '../operation.ts';
import { openForRead } from '../read-object.ts';

export const getObject = objectOperation({
  name: 'GetObject',
  method: 'GET',
  async handle(call) {
    const { object, status, headers } = await openForRead(call);
    const body = (await object.readWhole(call)) ?? releaseEach(object.read(call.signal));
    return { status, headers, body };
  },
});
