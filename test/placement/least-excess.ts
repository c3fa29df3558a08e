import type { SpreadLabels } from '../../placement/spread-groups.ts';

/**
 * By trying every choice of `count` members: the least number of shards beyond `cap` in operators, countries and zones.
 *
 * @param fixed members that hold shards already; the choice is of others
 */
export function findLeastExcess(
  members: readonly SpreadLabels[],
  count: number,
  cap: number,
  fixed: readonly boolean[] = [],
): number {
  const names = members.map(({ operator, country, zone }) => [
    ...(operator ? [`o ${operator}`] : []),
    ...(country ? [`c ${country}`] : []),
    ...(zone ? [`z ${country} ${zone}`] : []),
  ]);
  const counts = new Map<string, number>();
  const add = (member: number, step: number): void => {
    for (const name of names[member]!) counts.set(name, (counts.get(name) ?? 0) + step);
  };
  members.forEach((_, member) => {
    if (fixed[member]) add(member, 1);
  });
  let least = Number.POSITIVE_INFINITY;
  const search = (from: number, left: number): void => {
    if (left === 0) {
      const excess = [...counts.values()].reduce((sum, n) => sum + Math.max(0, n - cap), 0);
      least = Math.min(least, excess);
      return;
    }
    for (let member = from; member <= members.length - left; member++) {
      if (fixed[member]) continue;
      add(member, 1);
      search(member + 1, left - 1);
      add(member, -1);
    }
  };
  search(0, count);
  return least;
}
