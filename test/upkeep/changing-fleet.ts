import type { ProviderId } from '../../core/model.ts';
import { Fleet, type Standing } from '../../placement/fleet.ts';
import type { Provider } from '../../placement/providers/provider.ts';

/** A fleet whose providers stand as a test says. */
export class ChangingFleet extends Fleet {
  readonly #standings = new Map<ProviderId, Standing>();

  /** `lost` is out of reach for good; `down` does not answer. */
  setStanding(id: ProviderId, standing: Standing): void {
    if (standing === 'up') this.#standings.delete(id);
    else this.#standings.set(id, standing);
  }

  override standingOf(id: ProviderId): Standing {
    return this.#standings.get(id) ?? super.standingOf(id);
  }

  override isSuspect(id: ProviderId): boolean {
    return this.#standings.has(id) || super.isSuspect(id);
  }

  override find(id: ProviderId): Provider | undefined {
    return this.#standings.get(id) === 'lost' ? undefined : super.find(id);
  }
}
