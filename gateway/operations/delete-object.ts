import { parseDeleteCondition } from '../conditions.ts';
import { renderDeleteOutcome } from '../delete-outcome.ts';
import { objectOperation } from '../operation.ts';
import { parseVersionId } from '../version-id.ts';

export const deleteObject = objectOperation({
  name: 'DeleteObject',
  method: 'DELETE',
  async handle(call) {
    const condition = parseDeleteCondition(call.headers);
    const outcome = await call.engine.objects.delete({
      bucket: call.bucket.name,
      key: call.key,
      ...parseVersionId(call.query),
      ownerId: call.caller.canonicalId,
      nowMs: call.clock.now(),
      ...(condition && { condition }),
    });
    return { status: 204, headers: renderDeleteOutcome(outcome) };
  },
});
