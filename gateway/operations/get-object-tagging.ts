import { objectOperation } from '../operation.ts';
import { parseVersionId, renderVersionId } from '../version-id.ts';
import { element, textElement, xmlDocument } from '../xml/xml-writer.ts';

export const getObjectTagging = objectOperation({
  name: 'GetObjectTagging',
  method: 'GET',
  query: { tagging: true },
  async handle(call) {
    const target = { bucket: call.bucket.name, key: call.key, ...parseVersionId(call.query) };
    const { version } = await call.engine.objects.open(target);
    const tags = Object.entries(version.tags).map(([key, value]) =>
      element('Tag', textElement('Key', key), textElement('Value', value)),
    );
    const headers = { 'content-type': 'application/xml', ...renderVersionId(call.bucket, version) };
    return { status: 200, headers, body: xmlDocument('Tagging', element('TagSet', ...tags)) };
  },
});
