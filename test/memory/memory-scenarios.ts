import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import {
  type GatewayProcess,
  processKey,
  processRegion,
  readProcessBytes,
  startGatewayProcess,
} from '../harness/gateway-process.ts';
import { signHeaders } from '../harness/signed-fetch.ts';
import { generateBody, hashGeneratedBody } from './generated-body.ts';

const mebibyte = 1024 * 1024;
/** What the process may have in memory at any moment, code and runtime included. */
const limitBytes = 300 * mebibyte;
const sampleMs = 100;

export interface MemoryScenario {
  readonly objects: number;
  readonly objectBytes: number;
}

/**
 * Uploads all objects at once, then downloads them all at once, each hashed, and asserts that the gateway's process was
 * never larger than 300 MiB. The peak is the kernel's own count (VmHWM), which no sampling can miss; the samples only
 * tell, where the assertion fails, how it came to be.
 */
export async function checkMemory({ objects, objectBytes }: MemoryScenario, report: (text: string) => void) {
  const gateway = await startGatewayProcess();
  const agent = new Agent({ keepAlive: true });
  const samples: number[] = [];
  const sampler = setInterval(async () => {
    const bytes = await readProcessBytes(gateway.pid, 'VmRSS').catch(() => undefined);
    if (bytes !== undefined) samples.push(Math.round(bytes / mebibyte));
  }, sampleMs);
  try {
    const names = Array.from({ length: objects }, (_, index) => `object-${index}`);
    await send({ gateway, agent, method: 'PUT', path: '/memory', bodyBytes: 0 });
    await Promise.all(names.map((name) => upload(gateway, agent, name, objectBytes)));
    const afterUpload = await readProcessBytes(gateway.pid, 'VmHWM');
    await Promise.all(names.map((name) => download(gateway, agent, name, objectBytes)));
    const peak = await readProcessBytes(gateway.pid, 'VmHWM');
    report(
      `peak ${toMebibytes(peak)} MiB (${toMebibytes(afterUpload)} MiB after the uploads), RSS in MiB every ${sampleMs} ms: ${thin(samples).join(' ')}`,
    );
    assert.ok(peak < limitBytes, `the gateway took ${toMebibytes(peak)} MiB`);
  } finally {
    clearInterval(sampler);
    agent.destroy();
    await gateway.stop();
  }
}

async function upload(gateway: GatewayProcess, agent: Agent, name: string, bodyBytes: number): Promise<void> {
  const body = Readable.from(generateBody(name, bodyBytes), { objectMode: false, highWaterMark: 64 * 1024 });
  await send({ gateway, agent, method: 'PUT', path: `/memory/${name}`, bodyBytes, body });
}

async function download(gateway: GatewayProcess, agent: Agent, name: string, bodyBytes: number): Promise<void> {
  const answer = await call({ gateway, agent, method: 'GET', path: `/memory/${name}`, bodyBytes: 0 });
  assert.equal(answer.statusCode, 200);
  const hash = createHash('sha256');
  await pipeline(answer, hash);
  assert.equal(hash.digest('hex'), hashGeneratedBody(name, bodyBytes), `${name} came back changed`);
}

interface Call {
  readonly gateway: GatewayProcess;
  readonly agent: Agent;
  readonly method: string;
  readonly path: string;
  readonly bodyBytes: number;
  readonly body?: Readable;
}

async function send(input: Call): Promise<void> {
  const answer = await call(input);
  const text = (await buffer(answer)).toString();
  assert.equal(answer.statusCode, 200, `${input.method} ${input.path}: ${text}`);
}

function call({ gateway, agent, method, path, bodyBytes, body }: Call): Promise<IncomingMessage> {
  const { host, hostname, port } = new URL(gateway.url);
  const headers = signHeaders({
    method,
    pathAndQuery: path,
    host,
    region: processRegion,
    key: processKey,
    options: { payloadHash: 'UNSIGNED-PAYLOAD', headers: { 'content-length': String(bodyBytes) } },
  });
  return new Promise((resolve, reject) => {
    const sent = request({ agent, hostname, port, method, path, headers }, resolve);
    sent.on('error', reject);
    if (body === undefined) sent.end();
    else pipeline(body, sent).catch(reject);
  });
}

function toMebibytes(bytes: number): number {
  return Math.round(bytes / mebibyte);
}

/** At most some 60 of the samples, so that a line can show them. */
function thin(samples: readonly number[]): readonly number[] {
  const step = Math.ceil(samples.length / 60);
  return samples.filter((_, index) => index % step === 0);
}
