/** How long and how often a case is measured. */
export interface Pace {
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
  /** How long a gateway is measured from the moment at which providers die. */
  readonly afterDeathMs: number;
  /** That are there beforehand to be read; listings have as many as they need. */
  readonly maxObjects: number;
  readonly isQuick: boolean;
  /** Whether the client signs each request as it goes, as SDKs do, rather than all of them beforehand. */
  readonly isSigningLive: boolean;
}

export function findPace({ isQuick, isSigningLive }: { isQuick: boolean; isSigningLive: boolean }): Pace {
  return isQuick
    ? { rounds: 3, roundMs: 300, warmUpMs: 300, afterDeathMs: 1000, maxObjects: 512, isQuick, isSigningLive }
    : { rounds: 5, roundMs: 1500, warmUpMs: 1000, afterDeathMs: 2000, maxObjects: 2048, isQuick, isSigningLive };
}
