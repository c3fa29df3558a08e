/** How long and how often a case is measured. */
export interface Pace {
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
  /** Whether the client signs each request as it goes, as SDKs do, rather than all of them beforehand. */
  readonly isSigningLive: boolean;
}

export function findPace({ isQuick, isSigningLive }: { isQuick: boolean; isSigningLive: boolean }): Pace {
  return isQuick
    ? { rounds: 2, roundMs: 200, warmUpMs: 100, isSigningLive }
    : { rounds: 5, roundMs: 2000, warmUpMs: 1000, isSigningLive };
}
