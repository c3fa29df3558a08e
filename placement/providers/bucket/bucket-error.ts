/**
 * What went wrong with a request to an S3 endpoint, as far as it matters to whoever asked:
 *
 * - `object-missing`, `bucket-missing`: by the endpoint's own words
 * - `full`: refused for want of space or by a quota
 * - `throttled`: the endpoint works but wants fewer requests
 * - `denied`: the keys are unknown, or may not do this
 * - `redirected`: the bucket is in another region, or at another address
 * - `clock`: the clocks differ by more than signatures allow
 * - `unsupported`: the endpoint does not know the request or a part of it
 * - `unreachable`: no answer, or none that was whole
 * - `bad-answer`: an answer that cannot be true or cannot be read
 * - `failed`: all else
 */
export type BucketFault =
  | 'object-missing'
  | 'bucket-missing'
  | 'full'
  | 'throttled'
  | 'denied'
  | 'redirected'
  | 'clock'
  | 'unsupported'
  | 'unreachable'
  | 'bad-answer'
  | 'failed';

const maxMessageCharacters = 400;

/** A request to an S3 endpoint failed. The cause of `provider-error` and `provider-full` failures of buckets. */
export class BucketError extends Error {
  readonly fault: BucketFault;
  /** The HTTP status; undefined where there was no answer. */
  readonly status: number | undefined;
  /** S3's error code, or that of the socket's error. */
  readonly code: string | undefined;
  /** Where the endpoint says that the bucket is. */
  readonly region: string | undefined;

  constructor(
    fault: BucketFault,
    message: string,
    detail: { status?: number | undefined; code?: string | undefined; region?: string | undefined } = {},
  ) {
    super(message.length > maxMessageCharacters ? `${message.slice(0, maxMessageCharacters)}…` : message);
    this.name = 'BucketError';
    this.fault = fault;
    this.status = detail.status;
    this.code = detail.code;
    this.region = detail.region;
  }
}

/** Whether `error` is a `BucketError` with this fault. */
export function hasFault(error: unknown, fault: BucketFault): error is BucketError {
  return error instanceof BucketError && error.fault === fault;
}

/** What errors of the SDK and of sockets have in common, where they have it. */
interface RawError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly Code?: string;
  readonly Region?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

/** The `BucketError` for what the SDK threw. It keeps no more of it than the text: that may hold a whole answer. */
export function toBucketError(error: unknown): BucketError {
  if (error instanceof BucketError) return error;
  const raw: RawError = typeof error === 'object' && error !== null ? error : { message: String(error) };
  const status = raw.$response?.statusCode ?? raw.$metadata?.httpStatusCode;
  // The fields of a header or of XML; a hostile endpoint may put anything there.
  const code = text(status === undefined ? (raw.code ?? raw.name) : (raw.Code ?? raw.name));
  const region = text(raw.$response?.headers?.['x-amz-bucket-region'] ?? raw.Region);
  const message = text(raw.message) ?? '';
  const fault = status === undefined ? 'unreachable' : judge(status, code ?? '', message);
  const answer = status === undefined ? '' : ` (HTTP ${status})`;
  return new BucketError(fault, `${code ?? 'error'}${answer}: ${message}`, { status, code, region });
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * Codes first, since they are more exact than statuses; of those only the ones that mean one thing everywhere.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
 */
const faultOfCode: Readonly<Record<string, BucketFault>> = {
  NoSuchKey: 'object-missing',
  NoSuchBucket: 'bucket-missing',
  SlowDown: 'throttled',
  SlowDownRead: 'throttled',
  SlowDownWrite: 'throttled',
  RequestLimitExceeded: 'throttled',
  TooManyRequests: 'throttled',
  InvalidAccessKeyId: 'denied',
  SignatureDoesNotMatch: 'denied',
  PermanentRedirect: 'redirected',
  TemporaryRedirect: 'redirected',
  Redirect: 'redirected',
  AuthorizationHeaderMalformed: 'redirected',
  IllegalLocationConstraintException: 'redirected',
  RequestTimeTooSkewed: 'clock',
  NotImplemented: 'unsupported',
  MethodNotAllowed: 'unsupported',
};
/** QuotaExceeded (Ceph, Holdfast's peers), XMinioStorageFull and XMinioAdminBucketQuotaExceeded (MinIO), InsufficientStorage (Holdfast). */
const fullCode = /StorageFull|QuotaExceeded|InsufficientStorage|InsufficientCapacity|StorageLimitExceeded/;
/** Garage and B2 answer AccessDenied, and say why in words only. */
const fullWords = /quota is reached|quota (?:has been )?exceeded|cap exceeded|storage cap/i;

function judge(status: number, code: string, message: string): BucketFault {
  if (fullCode.test(code)) return 'full';
  const fault = faultOfCode[code];
  if (fault !== undefined) return fault;
  if (status === 507 || (status === 403 && fullWords.test(message))) return 'full';
  if (status === 429) return 'throttled';
  if (status === 401 || status === 403) return 'denied';
  if (status >= 300 && status < 400) return 'redirected';
  if (status === 501 || status === 405) return 'unsupported';
  if (status >= 200 && status < 300) return 'bad-answer';
  return 'failed';
}
