import type { ProviderId } from '../../core/model.ts';
import type { MasterKey } from '../../crypto/master-key.ts';
import type { Fleet } from '../../placement/fleet.ts';
import { openRoot, type Root } from './root-record.ts';

/** What providers said when they were asked for their roots. */
export interface FoundRoots {
  /** Those that open, the newest first; a provider that lies can at worst give an old one. */
  readonly roots: readonly Root[];
  /** Providers with a root that was sealed with another master key, and that key's id. */
  readonly otherKeys: ReadonlyMap<ProviderId, string>;
  /** Providers whose root does not open or cannot be read. */
  readonly unreadable: readonly ProviderId[];
}

export async function readRoots(
  { fleet, masterKey }: { readonly fleet: Fleet; readonly masterKey: MasterKey },
  signal: AbortSignal,
): Promise<FoundRoots> {
  const roots: Root[] = [];
  const otherKeys = new Map<ProviderId, string>();
  const unreadable: ProviderId[] = [];
  await Promise.all(
    fleet.members.map(async ({ provider }) => {
      const bytes = await provider.readRoot(signal).catch(() => new Uint8Array(0));
      if (bytes === undefined) return;
      const opened = openRoot(masterKey, bytes);
      if (opened.kind === 'root') roots.push(opened.root);
      else if (opened.kind === 'other-key') otherKeys.set(provider.id, opened.masterKeyId);
      else unreadable.push(provider.id);
    }),
  );
  signal.throwIfAborted();
  return { roots: roots.sort((a, b) => b.sequence - a.sequence), otherKeys, unreadable };
}
