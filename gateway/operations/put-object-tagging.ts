import { checkTags } from '../object-headers.ts';
import { objectOperation } from '../operation.ts';
import { S3Error } from '../s3-error.ts';
import { parseVersionId, renderVersionId } from '../version-id.ts';
import { parseXml } from '../xml/xml-reader.ts';
import { checkChildren, requiredText } from '../xml/xml-shape.ts';

export const putObjectTagging = objectOperation({
  name: 'PutObjectTagging',
  method: 'PUT',
  query: { tagging: true },
  async handle(call) {
    const tags = parseTags(await call.xmlBody());
    const target = { bucket: call.bucket.name, key: call.key, ...parseVersionId(call.query) };
    const version = await call.engine.objects.setTags(target, tags);
    return { status: 200, headers: renderVersionId(call.bucket, version) };
  },
});

function parseTags(body: Uint8Array): Record<string, string> {
  if (body.length === 0) throw new S3Error('MissingRequestBodyError');
  const root = parseXml(body, 'Tagging');
  checkChildren(root, 'TagSet');
  const [tagSet, ...others] = root.children;
  if (!tagSet || others.length > 0) throw new S3Error('MalformedXML');
  checkChildren(tagSet, 'Tag');
  return checkTags(
    tagSet.children.map((tag) => {
      checkChildren(tag, 'Key', 'Value');
      return [requiredText(tag, 'Key'), requiredText(tag, 'Value')] as const;
    }),
  );
}
