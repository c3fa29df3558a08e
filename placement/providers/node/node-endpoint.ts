/** Where a node listens. */
export interface NodeEndpoint {
  /** `http://host:port` or `https://host:port`, with nothing after it. */
  readonly origin: string;
  readonly isTls: boolean;
}

/**
 * @param text such as `https://node7.example:9100`; without a port, that of the scheme is meant
 * @throws RangeError that says what is wrong
 */
export function parseNodeEndpoint(text: string): NodeEndpoint {
  const url = URL.parse(text);
  const refuse = (why: string): never => {
    throw new RangeError(`a node's endpoint is http://host:port or https://host:port; ${JSON.stringify(text)} ${why}`);
  };
  if (url === null) return refuse('is no URL');
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return refuse('has another scheme');
  if (url.username !== '' || url.password !== '') return refuse('has a user name or password');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') return refuse('has something after the port');
  return { origin: url.origin, isTls: url.protocol === 'https:' };
}
