import { parseWriteCondition } from '../conditions.ts';
import { encryptionAnswer } from '../encryption-headers.ts';
import { parseObjectAttributes, renderChecksum } from '../object-headers.ts';
import { objectOperation } from '../operation.ts';
import { renderVersionId } from '../version-id.ts';

export const putObject = objectOperation({
  name: 'PutObject',
  method: 'PUT',
  takesEncryption: true,
  async handle(call) {
    const attributes = parseObjectAttributes(call);
    const condition = parseWriteCondition(call.headers);
    const version = await call.engine.objects.put(
      {
        bucket: call.bucket.name,
        key: call.key,
        ownerId: call.caller.canonicalId,
        payload: call.payload(),
        attributes,
        ...(condition && { condition }),
      },
      call.signal,
    );
    return {
      status: 200,
      headers: {
        etag: `"${version.etag}"`,
        ...encryptionAnswer,
        ...renderVersionId(call.bucket, version),
        ...renderChecksum(version.checksum),
      },
    };
  },
});
