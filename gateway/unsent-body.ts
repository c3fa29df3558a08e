import type { IncomingMessage, ServerResponse } from 'node:http';

/** The parts of Node's HTTP server that it has no public way to reach; absent ones are lived with. */
interface Internals {
  readonly socket: {
    readonly parser?: { initialize?: (type: number, resource: object) => void; incoming?: unknown } | null;
  };
}

const requestParser = 1;
const proxyHeaders = ['via', 'forwarded', 'x-forwarded-for'] as const;

/**
 * Answers a request whose client waits for `100 Continue` and will not get it. Clients such as botocore and Apache's
 * then send no body and use the connection for their next request, while Node would take that request for the
 * body, and so closes the connection. Here the parser is told that the body is over. A client that sends its
 * body all the same is answered 400 and cut off; behind a proxy, where that body could be taken for another client's
 * request, and where Node no longer has what this needs, the connection is closed as RFC 9110, section 10.1.1, allows.
 *
 * @returns false where the answer has to close the connection
 */
export function endUnsentBody(message: IncomingMessage, response: ServerResponse): boolean {
  const { parser } = (message as unknown as Internals).socket;
  if (typeof parser?.initialize !== 'function' || proxyHeaders.some((name) => name in message.headers)) return false;
  Object.assign(response, { _expect_continue: false }); // Else Node adds `Connection: close`.
  response.once('finish', () => {
    message.complete = true;
    message.push(null);
    parser.incoming = null;
    parser.initialize?.(requestParser, {});
  });
  return true;
}
