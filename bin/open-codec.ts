import type { Config } from '../core/config.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Profile } from '../core/model.ts';
import { chooseCodec, listCodecs } from '../erasure/choose-codec.ts';
import type { ErasureCodec } from '../erasure/erasure-codec.ts';

interface CodecSetting {
  readonly profiles: readonly Profile[];
  readonly config: Pick<Config, 'codec'>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The fastest codec that proves itself on this machine; the log and a metric tell which it is. */
export async function openCodec({ profiles, config, log, metrics }: CodecSetting): Promise<ErasureCodec> {
  const candidates = listCodecs({ isRevectorizing: config.codec.revectorize });
  const { codec, faults } = await chooseCodec(profiles, candidates);
  for (const { codec: name, error } of faults) {
    log.error(
      { err: error, refused: name, used: codec.name },
      'ERASURE CODEC REFUSED: it does not work on this machine, and a slower one is used in its place',
    );
  }
  metrics.codecInfo.set({ codec: codec.name }, 1);
  log.debug({ codec: codec.name }, 'erasure codec chosen');
  return codec;
}
