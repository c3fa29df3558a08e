import { objectOperation } from '../operation.ts';
import { parseVersionId, renderVersionId } from '../version-id.ts';

export const deleteObjectTagging = objectOperation({
  name: 'DeleteObjectTagging',
  method: 'DELETE',
  query: { tagging: true },
  async handle(call) {
    const target = { bucket: call.bucket.name, key: call.key, ...parseVersionId(call.query) };
    const version = await call.engine.objects.setTags(target, {});
    return { status: 204, headers: renderVersionId(call.bucket, version) };
  },
});
