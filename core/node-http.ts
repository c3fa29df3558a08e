import type * as Http from 'node:http';

/**
 * `node:http` without the price of importing it. An import reads every export of the module, its `WebSocket` among them, which
 * loads Node's copy of undici and with it http2 and tls: 50 ms of CPU time, an eighth of a gateway's start.
 */
export const nodeHttp: typeof Http = process.getBuiltinModule('node:http');
