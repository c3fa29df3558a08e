/** A page of a listing as long as a real one of so many objects of the benchmark: what a server can answer that looks for nothing. */
export function renderCannedPage(maxKeys: number): string {
  const contents = Array.from(
    { length: maxKeys },
    (_, index) =>
      `<Contents><Key>list-1000-8/${String(index).padStart(6, '0')}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>` +
      '<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>',
  );
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
    `<Name>bench</Name><Prefix></Prefix><KeyCount>${maxKeys}</KeyCount><MaxKeys>${maxKeys}</MaxKeys>` +
    `<IsTruncated>false</IsTruncated>${contents.join('')}</ListBucketResult>`
  );
}
