import type { Balance } from './plan-rebalance.ts';

/** Of what is held, this part may be moved to mend the spread, or for other reasons that the distance does not tell. */
const heldFactor = 2;
/** To even out takes half of the sum of all distances, where each byte goes once to where it should be. */
const distanceFactor = 2;

/**
 * How much rebalance may move until the fleet changes or it has rested: several times what it can need. No rule of moves
 * lets it come to that; should one be wrong, shards do not go to and fro for ever.
 */
export class MoveBound {
  #fleetKey: string | undefined;
  #boundBytes = 0;
  #movedBytes = 0;

  get movedBytes(): number {
    return this.#movedBytes;
  }

  /** @param fleetKey another one once the fleet has changed */
  isUsedUp(fleetKey: string, balance: Balance): boolean {
    const distance = balance.distances().reduce((sum, bytes) => sum + bytes, 0);
    const boundBytes = heldFactor * balance.heldBytes() + distanceFactor * distance;
    if (fleetKey !== this.#fleetKey) {
      this.#fleetKey = fleetKey;
      this.#boundBytes = boundBytes;
      this.#movedBytes = 0;
    }
    // What was written since may have to be moved as well.
    this.#boundBytes = Math.max(this.#boundBytes, boundBytes);
    return this.#movedBytes > this.#boundBytes;
  }

  note(bytes: number): void {
    this.#movedBytes += bytes;
  }

  restart(): void {
    this.#fleetKey = undefined;
  }
}
