import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProviderId } from '../../core/model.ts';
import { type LanePlaces, placeDownLast } from '../../engine/lane-places.ts';
import type { Provider } from '../../placement/providers/provider.ts';

const providers = ['a', 'b', 'c', 'd'].map((name) => ({ id: name as ProviderId }) as Provider);
const [a, b, c, d] = providers as [Provider, Provider, Provider, Provider];

/** As a stripe's placer: each once, whatever is given back. */
function placesOf(isDown: (provider: Provider) => boolean): { places: LanePlaces; returned: Provider[] } {
  const left = [...providers];
  const returned: Provider[] = [];
  const placer = { take: () => left.shift(), giveBack: (provider: Provider) => void returned.push(provider) };
  return { places: placeDownLast(placer, isDown), returned };
}

function takeAll(places: LanePlaces): Provider[] {
  const taken: Provider[] = [];
  for (let next = places.take(); next !== undefined; next = places.take()) taken.push(next);
  return taken;
}

describe('places for lanes', () => {
  it('have those last that are down, each once', () => {
    const { places } = placesOf((provider) => provider === a || provider === c);
    assert.deepEqual(takeAll(places), [b, d, a, c]);
  });

  it('give what one lane did without to another', () => {
    const { places, returned } = placesOf((provider) => provider === a || provider === b);
    assert.deepEqual([places.take(), places.take(), places.take()], [c, d, a]);
    places.putBack(a);
    places.putBack(d);
    assert.deepEqual(takeAll(places), [d, b, a]);
    assert.deepEqual(returned, [a, b, a]);
  });

  it('have one that went down meanwhile after those that are well', () => {
    const down = new Set<Provider>();
    const { places } = placesOf((provider) => down.has(provider));
    assert.equal(places.take(), a);
    down.add(a);
    places.putBack(a);
    assert.deepEqual(takeAll(places), [b, c, d, a]);
  });
});
