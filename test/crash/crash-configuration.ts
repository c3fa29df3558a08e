/**
 * A gateway whose upkeep is always at it, so that kills strike it too, and whose thresholds are so low that little data make
 * everything happen.
 */
export function crashConfiguration(_dataDir: string): unknown {
  return { limits: { freedGraceMs: 100, upkeepIntervalMs: 20 } };
}
