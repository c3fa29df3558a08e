import { cutSpans } from './cut-spans.ts';
import type { OpenedObject, OpenObject } from './engine.ts';
import type { EngineParts } from './engine-parts.ts';
import { findObject } from './find-object.ts';
import { checkReadConditions } from './read-conditions.ts';
import { readInOneBlock, readSpans, readThroughBlocks } from './read-spans.ts';
import { type ByteSpan, resolvePart, resolveRange } from './resolve-range.ts';

/** Finds what a GET or HEAD is about; see `Objects.open`. */
export async function openObject(parts: EngineParts, request: OpenObject): Promise<OpenedObject> {
  const version = await findObject(parts, request);
  checkReadConditions(request.conditions, version);
  const { range, partNumber } = request;
  let span: ByteSpan = { offset: 0, length: version.sizeBytes };
  if (range !== undefined) span = resolveRange(range, version.sizeBytes);
  else if (partNumber !== undefined) span = resolvePart(version, partNumber);
  const { offset, length } = span;
  // There is no Content-Range of nothing: part 1 of an empty object is the object.
  const isPartial = (range !== undefined || partNumber !== undefined) && length > 0;
  const spans = cutSpans(version.spans, offset, length);
  let isQuickWayTried = false;
  return {
    version,
    offset,
    length,
    isPartial,
    read: (signal) => noteFirst(parts, (isQuickWayTried ? readThroughBlocks : readSpans)(parts, spans, signal)),
    readWhole: (caller) => {
      isQuickWayTried = true;
      return readInOneBlock(parts, spans, caller, parts.pieces);
    },
  };
}

/** The same chunks; how long the first one took is what a client feels of upkeep. */
async function* noteFirst(
  { clientLoad }: EngineParts,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, void> {
  const startedAtMs = performance.now();
  let isFirst = true;
  for await (const chunk of chunks) {
    if (isFirst) clientLoad.note('read', performance.now() - startedAtMs);
    isFirst = false;
    yield chunk;
  }
}
