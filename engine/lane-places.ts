import type { Placer } from '../placement/fleet.ts';
import type { Provider } from '../placement/providers/provider.ts';

/** Places for the lanes of one stripe. */
export interface LanePlaces extends Placer {
  /** Takes one back that nothing was sent to: another lane may have it. */
  putBack(provider: Provider): void;
}

/** The same places, but what has gone down since they were chosen comes last. */
export function placeDownLast(placer: Placer, isDown: (provider: Provider) => boolean): LanePlaces {
  const unused: Provider[] = [];
  const down: Provider[] = [];
  const setAside = (provider: Provider): void => {
    placer.giveBack(provider);
    down.push(provider);
  };
  return {
    take: () => {
      for (;;) {
        const next = unused.shift() ?? placer.take();
        if (next === undefined) return down.shift();
        if (!isDown(next)) return next;
        setAside(next);
      }
    },
    giveBack: (provider) => placer.giveBack(provider),
    putBack: (provider) => {
      if (isDown(provider)) setAside(provider);
      else unused.push(provider);
    },
  };
}
