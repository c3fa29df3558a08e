import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../core/failure.ts';
import type { ShardCid } from '../../core/model.ts';
import type { FaultSchedule } from './fault-schedule.ts';
import type { Provider, ShardStat, ShardWriter } from './provider.ts';
import { type CallWork, type ProviderCall, providerCalls, WrappedProvider } from './wrapped-provider.ts';

/**
 * What can go wrong on purpose:
 * - `error`: the call fails with `provider-error`
 * - `hang`: it never answers, until its signal is aborted
 * - `slowMs`: it is done after so long
 * - `full`: it fails with `provider-full`
 * - `503`: it fails as an endpoint does that has too much to do
 * - `missing`: it fails with `shard-missing`
 * - `truncate`: the last byte is lost, of what is read or of what is written
 * - `flip`: a bit is turned over, in what is read or in what is written
 * - `wrong-shard`: the bytes come from another shard of the same length
 * - `lose`: the shard, or the root, is acknowledged and dropped
 */
export type Fault =
  | 'error'
  | 'hang'
  | { readonly slowMs: number }
  | 'full'
  | '503'
  | 'missing'
  | 'truncate'
  | 'flip'
  | 'wrong-shard'
  | 'lose';

/** The calls for which a fault makes sense; those not listed here can happen to every call. */
const faultyCalls: Partial<Record<Extract<Fault, string>, readonly ProviderCall[]>> = {
  full: ['putShard', 'createShard', 'append', 'commit', 'writeRoot'],
  missing: ['readShard', 'statShard'],
  truncate: ['readShard', 'readRoot', 'putShard', 'append', 'writeRoot'],
  flip: ['readShard', 'readRoot', 'putShard', 'append', 'writeRoot'],
  'wrong-shard': ['readShard'],
  lose: ['putShard', 'commit', 'writeRoot'],
};

/** Faults to come, by call. */
export class FaultPlan {
  readonly #next = new Map<ProviderCall, Fault[]>();
  readonly #always = new Map<ProviderCall, Fault>();
  #schedule: FaultSchedule | undefined;
  /** How many calls met each kind of fault. */
  readonly counts = new Map<Extract<Fault, string> | 'slow', number>();

  /**
   * Lets the next `times` calls of this kind fail so; after that, faults planned later have their turn.
   *
   * @throws RangeError for a fault that cannot happen to the call
   */
  next(call: ProviderCall, fault: Fault, times = 1): void {
    if (!canHappen(fault, call)) throw new RangeError(`the fault ${JSON.stringify(fault)} cannot happen to ${call}`);
    const queue = this.#next.get(call) ?? [];
    for (let count = 0; count < times; count++) queue.push(fault);
    this.#next.set(call, queue);
  }

  /** Lets every call of this kind, or every call to which it can happen, fail so until `clear`. */
  always(call: ProviderCall | 'all', fault: Fault): void {
    const calls = call === 'all' ? providerCalls.filter((each) => canHappen(fault, each)) : [call];
    for (const each of calls) {
      if (!canHappen(fault, each)) throw new RangeError(`the fault ${JSON.stringify(fault)} cannot happen to ${each}`);
      this.#always.set(each, fault);
    }
  }

  /** From now on calls for which nothing else is planned fail as a schedule has it, until `clear`. */
  follow(schedule: FaultSchedule): void {
    this.#schedule = schedule;
  }

  /** Calls that start from now on are well again; those that hang go on hanging. */
  clear(): void {
    this.#next.clear();
    this.#always.clear();
    this.#schedule = undefined;
  }

  /** The fault for a call that starts now. */
  take(call: ProviderCall): Fault | undefined {
    const fault = this.#next.get(call)?.shift() ?? this.#always.get(call) ?? this.#schedule?.take(call);
    if (fault !== undefined) {
      const kind = typeof fault === 'object' ? 'slow' : fault;
      this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    }
    return fault;
  }
}

/** A provider that does to its callers what `faults` says, for tests of those callers. */
export interface FaultyProvider extends Provider {
  readonly faults: FaultPlan;
}

export function createFaultyProvider(inner: Provider): FaultyProvider {
  return new FaultInjector(inner);
}

class FaultInjector extends WrappedProvider implements FaultyProvider {
  readonly faults = new FaultPlan();

  protected override async run<T>(call: ProviderCall, signal: AbortSignal | undefined, work: CallWork<T>): Promise<T> {
    await this.inflict(this.faults.take(call), call, signal);
    return work(signal);
  }

  override async putShard(cid: ShardCid, buffers: readonly Uint8Array[], signal?: AbortSignal): Promise<void> {
    const fault = this.faults.take('putShard');
    await this.inflict(fault, 'putShard', signal);
    if (fault !== 'lose') await this.inner.putShard(cid, spoilBuffers(fault, buffers), signal);
  }

  override async createShard(signal?: AbortSignal): Promise<ShardWriter> {
    await this.inflict(this.faults.take('createShard'), 'createShard', signal);
    return new FaultyWriter(this, await this.inner.createShard(signal), signal);
  }

  override async readShard(cid: ShardCid, offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const fault = this.faults.take('readShard');
    if (fault === 'missing') throw new Failure('shard-missing', { providerId: this.id, cid });
    await this.inflict(fault, 'readShard', signal);
    const source = fault === 'wrong-shard' ? await this.#findTwin(cid, signal) : cid;
    return spoilBytes(fault, await this.inner.readShard(source, offset, length, signal));
  }

  override async statShard(cid: ShardCid, signal?: AbortSignal): Promise<ShardStat> {
    const fault = this.faults.take('statShard');
    if (fault === 'missing') throw new Failure('shard-missing', { providerId: this.id, cid });
    await this.inflict(fault, 'statShard', signal);
    return this.inner.statShard(cid, signal);
  }

  override async readRoot(signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const fault = this.faults.take('readRoot');
    await this.inflict(fault, 'readRoot', signal);
    const root = await this.inner.readRoot(signal);
    return root && spoilBytes(fault, root);
  }

  override async writeRoot(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const fault = this.faults.take('writeRoot');
    await this.inflict(fault, 'writeRoot', signal);
    if (fault !== 'lose') await this.inner.writeRoot(Buffer.concat(spoilBuffers(fault, [bytes])), signal);
  }

  /** The faults that are the same for every call. */
  async inflict(fault: Fault | undefined, call: ProviderCall, signal: AbortSignal | undefined): Promise<void> {
    if (fault === 'error' || fault === '503') {
      const cause = new Error(fault === '503' ? '503 Slow Down, on purpose' : 'a fault on purpose');
      throw new Failure('provider-error', { providerId: this.id, call }, { cause });
    }
    if (fault === 'full') throw new Failure('provider-full', { providerId: this.id });
    if (fault === 'hang') await waitForAbort(signal);
    if (typeof fault === 'object') {
      await sleep(fault.slowMs, undefined, signal === undefined ? {} : { signal }).catch((error) => {
        throw signal?.reason ?? error;
      });
    }
  }

  /** Another shard of the same length. @throws Failure `provider-error` when there is none */
  async #findTwin(cid: ShardCid, signal: AbortSignal | undefined): Promise<ShardCid> {
    const { bytes } = await this.inner.statShard(cid, signal);
    let cursor: string | undefined;
    do {
      const page = await this.inner.listShards(cursor, 1000, signal);
      const twin = page.shards.find((shard) => shard.bytes === bytes && shard.cid !== cid);
      if (twin !== undefined) return twin.cid;
      cursor = page.cursor;
    } while (cursor !== undefined);
    const cause = new Error(`there is no other shard of ${bytes} bytes to give in place of ${cid}`);
    throw new Failure('provider-error', { providerId: this.id, call: 'readShard' }, { cause });
  }
}

class FaultyWriter implements ShardWriter {
  readonly #provider: FaultInjector;
  readonly #inner: ShardWriter;
  readonly #signal: AbortSignal | undefined;

  constructor(provider: FaultInjector, inner: ShardWriter, signal: AbortSignal | undefined) {
    this.#provider = provider;
    this.#inner = inner;
    this.#signal = signal;
  }

  async append(buffers: readonly Uint8Array[]): Promise<void> {
    const fault = this.#provider.faults.take('append');
    await this.#provider.inflict(fault, 'append', this.#signal);
    return this.#inner.append(spoilBuffers(fault, buffers));
  }

  async commit(cid: ShardCid): Promise<void> {
    const fault = this.#provider.faults.take('commit');
    try {
      await this.#provider.inflict(fault, 'commit', this.#signal);
    } catch (error) {
      await this.#inner.abort();
      throw error;
    }
    if (fault === 'lose') return this.#inner.abort();
    return this.#inner.commit(cid);
  }

  abort(): Promise<void> {
    return this.#inner.abort();
  }
}

function canHappen(fault: Fault, call: ProviderCall): boolean {
  return typeof fault === 'object' || (faultyCalls[fault]?.includes(call) ?? true);
}

/** What is written in place of `buffers`, which stay as they are. */
function spoilBuffers(fault: Fault | undefined, buffers: readonly Uint8Array[]): readonly Uint8Array[] {
  if (fault !== 'truncate' && fault !== 'flip') return buffers;
  return [spoilBytes(fault, Buffer.concat(buffers))];
}

/** @param bytes changed in place */
function spoilBytes(fault: Fault | undefined, bytes: Uint8Array): Uint8Array {
  if (fault === 'truncate') return bytes.subarray(0, -1);
  const middle = bytes.length >> 1;
  if (fault === 'flip' && bytes.length > 0) bytes[middle] = bytes[middle]! ^ 0x10;
  return bytes;
}

/** Never resolves; rejects with the signal's reason, if there is a signal. */
function waitForAbort(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    if (signal?.aborted) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
