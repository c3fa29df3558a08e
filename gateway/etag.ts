/** An ETag of an XML document without its quotes, which clients may leave out. */
export function bareETag(text: string): string {
  return text.trim().replace(/^"(.*)"$/, '$1');
}
