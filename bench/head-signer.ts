import { createHmac, hash } from 'node:crypto';

const payloadHash = 'UNSIGNED-PAYLOAD';

export interface UnsignedRequest {
  readonly method: string;
  /** As it is sent: with nothing in it that would have to be encoded. */
  readonly path: string;
  /** As the signature has it: sorted, encoded, and with an equals sign after every name. */
  readonly query?: string;
  readonly bodyBytes: number;
  /** Base64, for requests whose bodies must be vouched for. */
  readonly contentMd5?: string;
  /** First and last byte that are asked for. */
  readonly range?: readonly [first: number, last: number];
}

/** Where requests go, and in whose name. */
export interface Access {
  readonly url: URL;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

/**
 * Makes whole heads of signed requests, in a few microseconds each: an hour of load cannot be signed beforehand, since a signature
 * is good for 15 minutes. Source: AWS "Create a signed AWS API request".
 */
export class HeadSigner {
  readonly #access: Access;
  #second = 0;
  #timestamp = '';
  #scope = '';
  #signingKey: Buffer = Buffer.alloc(0);

  constructor(access: Access) {
    this.#access = access;
  }

  sign({ method, path, query = '', bodyBytes, contentMd5, range }: UnsignedRequest): Buffer {
    const { url, accessKeyId } = this.#access;
    this.#lookAtClock();
    const md5Line = contentMd5 === undefined ? '' : `content-md5:${contentMd5}`;
    const signedHeaders = `${md5Line && 'content-md5;'}host;x-amz-content-sha256;x-amz-date`;
    const canonical =
      `${method}\n${path}\n${query}\n${md5Line && `${md5Line}\n`}host:${url.host}\nx-amz-content-sha256:${payloadHash}\n` +
      `x-amz-date:${this.#timestamp}\n\n${signedHeaders}\n${payloadHash}`;
    const toSign = `AWS4-HMAC-SHA256\n${this.#timestamp}\n${this.#scope}\n${hash('sha256', canonical)}`;
    const signature = createHmac('sha256', this.#signingKey).update(toSign).digest('hex');
    const credential = `${accessKeyId}/${this.#scope}`;
    return Buffer.from(
      `${method} ${path}${query && `?${query}`} HTTP/1.1\r\nhost: ${url.host}\r\n` +
        `x-amz-date: ${this.#timestamp}\r\nx-amz-content-sha256: ${payloadHash}\r\n` +
        `authorization: AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}\r\n` +
        `${range === undefined ? '' : `range: bytes=${range[0]}-${range[1]}\r\n`}` +
        `${md5Line && `${md5Line}\r\n`}content-length: ${bodyBytes}\r\n\r\n`,
      'latin1',
    );
  }

  #lookAtClock(): void {
    const second = Math.floor(Date.now() / 1000);
    if (second === this.#second) return;
    this.#second = second;
    const before = this.#timestamp.slice(0, 8);
    this.#timestamp = new Date(second * 1000).toISOString().replace(/[:-]|\.\d{3}/g, '');
    const day = this.#timestamp.slice(0, 8);
    if (day === before) return;
    const { region, secretAccessKey } = this.#access;
    this.#scope = `${day}/${region}/s3/aws4_request`;
    this.#signingKey = [day, region, 's3', 'aws4_request'].reduce<Buffer>(
      (secret, text) => createHmac('sha256', secret).update(text).digest(),
      Buffer.from(`AWS4${secretAccessKey}`),
    );
  }
}
