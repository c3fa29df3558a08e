import type { WriteCondition } from '../../core/model.ts';
import { toS3Error } from '../error-response.ts';
import { bareETag } from '../etag.ts';
import { type BucketCall, bucketOperation } from '../operation.ts';
import { checkKey } from '../request-target.ts';
import { S3Error } from '../s3-error.ts';
import { childText, parseXml, type XmlElement } from '../xml/xml-reader.ts';
import { checkChildren, requiredText } from '../xml/xml-shape.ts';
import { element, textElement, type Xml, xmlDocument } from '../xml/xml-writer.ts';

const maxObjects = 1000;

/** One `<Object>` of the request. */
interface Target {
  readonly key: string;
  readonly versionId: string | undefined;
  readonly condition: Extract<WriteCondition, { kind: 'etag' }> | undefined;
}

export const deleteObjects = bucketOperation({
  name: 'DeleteObjects',
  method: 'POST',
  query: { delete: true },
  async handle(call) {
    checkIntegrityHeader(call);
    const { targets, isQuiet } = parseRequest(await call.xmlBody());
    // All at once: the metadata store gathers them into few commits.
    const results = await Promise.all(targets.map((target) => deleteTarget(call, target, isQuiet)));
    return {
      status: 200,
      headers: { 'content-type': 'application/xml' },
      body: xmlDocument('DeleteResult', ...results),
    };
  },
});

/** A list of what to delete is never taken without a digest of it. */
function checkIntegrityHeader({ headers }: BucketCall): void {
  const isChecksum = (name: string): boolean =>
    name.startsWith('x-amz-checksum-') && name !== 'x-amz-checksum-type' && name !== 'x-amz-checksum-algorithm';
  if (headers['content-md5'] !== undefined || headers['x-amz-trailer'] || Object.keys(headers).some(isChecksum)) return;
  throw new S3Error('InvalidRequest', 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*');
}

function parseRequest(body: Uint8Array): { targets: Target[]; isQuiet: boolean } {
  if (body.length === 0) throw new S3Error('MissingRequestBodyError');
  const root = parseXml(body, 'Delete');
  checkChildren(root, 'Object', 'Quiet');
  const targets = root.children.filter(({ name }) => name === 'Object').map(parseTarget);
  if (targets.length === 0 || targets.length > maxObjects) throw new S3Error('MalformedXML');
  return { targets, isQuiet: childText(root, 'Quiet')?.toLowerCase() === 'true' };
}

function parseTarget(object: XmlElement): Target {
  checkChildren(object, 'Key', 'VersionId', 'ETag');
  const key = requiredText(object, 'Key');
  if (key === '') throw new S3Error('UserKeyMustBeSpecified');
  const etag = childText(object, 'ETag');
  return {
    key,
    versionId: childText(object, 'VersionId') || undefined,
    condition: etag === undefined ? undefined : { kind: 'etag', etag: bareETag(etag) },
  };
}

/** The `<Deleted>` or `<Error>` of one object; nothing for a success that the client does not care for. */
async function deleteTarget(call: BucketCall, target: Target, isQuiet: boolean): Promise<Xml> {
  const { key, versionId, condition } = target;
  try {
    checkKey(key);
    const outcome = await call.engine.objects.delete({
      bucket: call.bucket.name,
      key,
      ownerId: call.caller.canonicalId,
      nowMs: call.clock.now(),
      ...(versionId !== undefined && { versionId }),
      ...(condition && { condition }),
    });
    if (isQuiet) return '' as Xml;
    const markerId = outcome.kind === 'removed' ? undefined : outcome.versionId;
    const isMarker =
      outcome.kind === 'marker-created' || (outcome.kind === 'version-removed' && outcome.wasDeleteMarker);
    return element(
      'Deleted',
      textElement('Key', key),
      textElement('VersionId', versionId),
      ...(isMarker ? [textElement('DeleteMarker', true), textElement('DeleteMarkerVersionId', markerId)] : []),
    );
  } catch (cause) {
    return renderFailure(cause, target);
  }
}

/** A fault of ours fails the whole request, so that its cause is logged; deleting again does no harm. */
function renderFailure(cause: unknown, { key, versionId }: Target): Xml {
  const error = toS3Error(cause);
  if (error.code === 'InternalError') throw cause;
  return element(
    'Error',
    textElement('Key', key),
    textElement('VersionId', versionId),
    textElement('Code', error.code),
    textElement('Message', error.message),
  );
}
