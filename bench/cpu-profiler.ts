import { once } from 'node:events';
import type { CpuProfile } from './summarize-profile.ts';

/** For node: listen for a debugger on a free port, which is named on standard error. */
export const inspectorArguments = ['--inspect=127.0.0.1:0'] as const;

/** A sample each so often. */
const intervalMicros = 500;

interface InspectorAnswer {
  readonly id?: number;
  readonly result?: { readonly profile?: CpuProfile };
  readonly error?: { readonly message: string };
}

/**
 * Profiles the thread that runs the JavaScript of another process for as long as is wanted, through V8's inspector: what is
 * before and after, such as the start and the writing of what is to be read, is not in the profile.
 */
export class CpuProfiler {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, { resolve: (answer: InspectorAnswer) => void; reject: (error: Error) => void }>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(String(data)) as InspectorAnswer));
    socket.addEventListener('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the inspector closed the connection'));
    });
  }

  /** @param standardError of a process that was started with `inspectorArguments` */
  static async connect(standardError: string): Promise<CpuProfiler> {
    const url = /Debugger listening on (ws:\/\/\S+)/.exec(standardError)?.[1];
    if (url === undefined) throw new Error('the process listens for no debugger');
    const socket = new WebSocket(url);
    await once(socket, 'open');
    return new CpuProfiler(socket);
  }

  async start(): Promise<void> {
    await this.#call('Profiler.enable');
    await this.#call('Profiler.setSamplingInterval', { interval: intervalMicros });
    await this.#call('Profiler.start');
  }

  async stop(): Promise<CpuProfile> {
    const { profile } = (await this.#call('Profiler.stop')).result ?? {};
    if (profile === undefined) throw new Error('the inspector gave no profile');
    return profile;
  }

  close(): void {
    this.#socket.close();
  }

  async #call(method: string, params: object = {}): Promise<InspectorAnswer> {
    const id = ++this.#lastId;
    const answer = await new Promise<InspectorAnswer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer;
  }

  #receive(answer: InspectorAnswer): void {
    if (answer.id === undefined) return;
    this.#waiting.get(answer.id)?.resolve(answer);
    this.#waiting.delete(answer.id);
  }
}
