import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { S3Error } from '../../gateway/s3-error.ts';
import { childText, parseXml } from '../../gateway/xml/xml-reader.ts';
import { checkChildren, requiredText } from '../../gateway/xml/xml-shape.ts';
import { element, textElement, textNode, xmlDocument, xmlTime } from '../../gateway/xml/xml-writer.ts';

function parse(text: string | Uint8Array, root = 'A') {
  return parseXml(typeof text === 'string' ? Buffer.from(text) : text, root);
}

const isMalformed = (error: unknown): boolean => error instanceof S3Error && error.code === 'MalformedXML';

test('a document becomes elements with names, text and children', () => {
  const root = parse('<?xml version="1.0"?><A><B>one</B><C>t<!-- no -->w<![CDATA[<o>]]></C></A>');
  assert.deepEqual(
    root.children.map(({ name, text }) => [name, text]),
    [
      ['B', 'one'],
      ['C', 'tw<o>'],
    ],
  );
});

test('namespaces and their prefixes are taken off names', () => {
  const root = parse('<s:A xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/"><s:B>1</s:B></s:A>');
  assert.equal(childText(root, 'B'), '1');
});

const refused = [
  ['is empty', ''],
  ['is no XML', 'PartNumber=1'],
  ['has another root', '<B/>'],
  ['is cut off', '<A><B>1</B>'],
  ['has tags that cross', '<A><B></A></B>'],
  ['has two roots', '<A/><A/>'],
  ['has text behind its root', '<A/>more'],
  ['declares a document type', '<!DOCTYPE A><A/>'],
  ['declares an entity', '<!DOCTYPE A [<!ENTITY e "boom">]><A>&e;</A>'],
  ['uses an entity that is none of XML', '<A>&nbsp;</A>'],
  ['holds a control character', '<A>\u0001</A>'],
  ['refers to a control character', '<A>&#x1;</A>'],
  ['uses a prefix that was not declared', '<x:A/>'],
  ['is nested too deeply', `${'<A>'.repeat(40)}${'</A>'.repeat(40)}`],
] as const;

for (const [why, text] of refused) {
  test(`a document that ${why} is malformed`, () => {
    assert.throws(() => parse(text), isMalformed);
  });
}

test('a document that is not UTF-8 is malformed', () => {
  assert.throws(() => parse(Buffer.from('<A>\u00e9</A>', 'latin1')), isMalformed);
});

test('an entity bomb is refused before it grows', () => {
  const bomb = `<!DOCTYPE A [<!ENTITY a "aaaaaaaaaa">${Array.from({ length: 9 }, (_, i) => `<!ENTITY a${i} "&a;&a;&a;">`).join('')}]><A>&a8;</A>`;
  assert.throws(() => parse(bomb), isMalformed);
});

test('a child that must be alone is refused twice', () => {
  const root = parse('<A><B>1</B><B>2</B></A>');
  assert.throws(() => childText(root, 'B'), isMalformed);
  assert.equal(childText(root, 'C'), undefined);
});

test('a child that must be there is missed, and one that must not be is refused', () => {
  const root = parse('<A><B></B></A>');
  assert.equal(requiredText(root, 'B'), '');
  assert.throws(() => requiredText(root, 'C'), isMalformed);
  checkChildren(root, 'B', 'C');
  assert.throws(() => checkChildren(root, 'C'), isMalformed);
});

test('a document is written with a declaration and the namespace of S3', () => {
  assert.equal(
    xmlDocument('R', textElement('A', '<&">'), textElement('B', undefined), element('C', textElement('D', 5))),
    '<?xml version="1.0" encoding="UTF-8"?>\n<R xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><A>&lt;&amp;&quot;&gt;</A><C><D>5</D></C></R>',
  );
  assert.match(xmlDocument('R', textNode('a<b')), />a&lt;b<\/R>$/);
});

test('characters that XML cannot hold are written as references, as AWS does', () => {
  assert.equal(textElement('K', 'a\u0001b\u000b\r\n\uffff'), '<K>a&#x1;b&#xb;&#xd;\n&#xffff;</K>');
});

test('times have milliseconds and end with Z', () => {
  assert.equal(xmlTime(Date.UTC(2006, 1, 3, 16, 45, 9)), '2006-02-03T16:45:09.000Z');
});

test('every text that XML can hold comes back as it was written', () => {
  const xmlText = fc
    .string({ unit: 'binary' })
    .map((text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\r'));
  fc.assert(
    fc.property(xmlText, (text) => {
      const root = parse(xmlDocument('A', textElement('B', text)));
      assert.equal(childText(root, 'B'), text);
    }),
  );
});
