import type { IncomingHttpHeaders } from 'node:http';
import { invalidArgument } from './invalid-argument.ts';
import { S3Error } from './s3-error.ts';

const requestHeader = 'x-amz-server-side-encryption';
const customerAlgorithm = 'x-amz-server-side-encryption-customer-algorithm';

/** What answers say of an object or a part: all data are encrypted with keys that the gateway keeps, which S3 calls SSE-S3. */
export const encryptionAnswer = { [requestHeader]: 'AES256' } as const;

/**
 * Checks what a write asks of encryption: AES256 is what every write gets; AWS's key service and keys of the customer's
 * own are refused, since to drop such a wish silently would be a lie.
 *
 * @param name a header that begins with x-amz-server-side-encryption
 * @throws S3Error InvalidArgument as AWS words it, NotImplemented
 */
export function checkEncryptionHeader(name: string, value: string): void {
  if (name !== requestHeader) throw notImplemented(name);
  if (value === 'AES256') return;
  if (value === 'aws:kms' || value === 'aws:kms:dsse') throw notImplemented(name);
  throw invalidArgument('The encryption method specified is not supported', name, value);
}

/** Only what makes an object may ask for encryption; AWS refuses the header everywhere else. @throws S3Error InvalidArgument */
export function refuseEncryptionRequest(headers: IncomingHttpHeaders): void {
  const value = headers[requestHeader];
  if (value === undefined) return;
  throw invalidArgument(`${requestHeader} header is not supported for this operation.`, requestHeader, String(value));
}

/** No object here has a key of its customer's. @throws S3Error InvalidRequest where a read or a copy's source names one */
export function refuseCustomerKey(headers: IncomingHttpHeaders, prefix: '' | 'x-amz-copy-source-' = ''): void {
  const name = prefix === '' ? customerAlgorithm : 'x-amz-copy-source-server-side-encryption-customer-algorithm';
  if (headers[name] === undefined) return;
  throw new S3Error('InvalidRequest', 'The encryption parameters are not applicable to this object.');
}

/** A part is encrypted as its upload is, which cannot be with a key of the customer's. @throws S3Error NotImplemented */
export function refuseCustomerKeyOfPart(headers: IncomingHttpHeaders): void {
  if (headers[customerAlgorithm] !== undefined) throw notImplemented(customerAlgorithm);
}

function notImplemented(header: string): S3Error {
  return new S3Error('NotImplemented', 'A header you provided implies functionality that is not implemented', {
    Header: header,
  });
}
