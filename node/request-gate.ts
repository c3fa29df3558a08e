import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../core/clock.ts';
import type { NodeKey } from '../placement/providers/node/node-key.ts';
import { dateWindowMs } from '../placement/providers/node/node-protocol.ts';
import { noContent, parseAuthorization, RequestSigner } from '../placement/providers/node/request-signature.ts';
import { NodeFault } from './node-fault.ts';
import { SessionTable } from './session-table.ts';

/** What the signature says of the body. */
export interface SignedContent {
  readonly bytes: number;
  /** SHA-256 in hex, `unsigned` or `none`. */
  readonly digest: string;
}

/** Lets in what is signed with one of the keys, meant for this run of the node, new and not too old. */
export class RequestGate {
  /**
   * Drawn at each start and part of each signature: what was sent to the node before it was started anew is refused
   * whatever its date, though what was seen then is forgotten.
   */
  readonly instance = randomBytes(16).toString('hex');
  readonly #signers: ReadonlyMap<string, RequestSigner>;
  readonly #clock: Clock;
  readonly #sessions = new SessionTable({ dateWindowMs });

  constructor(parts: { keys: readonly NodeKey[]; clock: Clock }) {
    this.#signers = new Map(parts.keys.map((key) => [key.id, new RequestSigner(key)]));
    this.#clock = parts.clock;
  }

  /** @throws NodeFault for whatever is not let in */
  admit(message: IncomingMessage): SignedContent {
    const { authorization: header, 'content-length': lengthText, 'transfer-encoding': encoding } = message.headers;
    if (header === undefined) throw new NodeFault('unsigned', 'the request is not signed');
    const authorization = parseAuthorization(header);
    if (authorization === undefined) throw new NodeFault('unsigned', 'the header authorization cannot be read');
    if (encoding !== undefined) throw new NodeFault('bad-request', 'a body has a content-length');
    const signer = this.#signers.get(authorization.keyId);
    if (signer === undefined) throw new NodeFault('unknown-key', 'this node has no key of that id');
    const bytes = lengthText === undefined ? 0 : Number(lengthText);
    const { method = '', url: target = '' } = message;
    if (!signer.matches({ ...authorization, method, target, contentBytes: bytes }, authorization.signature)) {
      throw new NodeFault('bad-signature', 'the signature does not fit the request');
    }
    this.#checkFresh(authorization);
    if (authorization.content === noContent && bytes > 0) throw new NodeFault('bad-request', 'a body without a digest');
    return { bytes, digest: authorization.content };
  }

  #checkFresh(request: { keyId: string; instance: string; session: string; sequence: number; dateMs: number }): void {
    if (request.instance !== this.instance) {
      throw new NodeFault('instance-changed', 'the node was started anew', { instance: this.instance });
    }
    const nowMs = this.#clock.now();
    if (Math.abs(nowMs - request.dateMs) > dateWindowMs) {
      const skewMs = request.dateMs - nowMs;
      throw new NodeFault('clock-skew', `the request is dated ${skewMs} ms from the node's clock`, { nowMs });
    }
    const { sequence, dateMs } = request;
    const name = `${request.keyId} ${request.session}`;
    const admission = this.#sessions.admit({ name, sequence, dateMs, nowMs });
    if (admission === 'replayed') throw new NodeFault('replayed', 'this request came before');
    if (admission === 'full') throw new NodeFault('overloaded', 'too many gateways were started in the last minutes');
  }
}
