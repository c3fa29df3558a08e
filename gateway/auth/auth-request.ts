import type { IncomingHttpHeaders } from 'node:http';

/** The parts of an HTTP request that a signature covers, undecoded. */
export interface AuthRequest {
  readonly method: string;
  /** The path as it stood in the request line, before any decoding. */
  readonly rawPath: string;
  /** What followed the first `?`, without it; empty where there was none. */
  readonly rawQuery: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turns, as `http.IncomingMessage` has them. `headers` cannot tell how repeated ones were sent. */
  readonly rawHeaders: readonly string[];
}
