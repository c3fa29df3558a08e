import { noGroup, type SpreadGroups, spreadLevels } from './spread-groups.ts';

/** What is to be chosen from. */
export interface SpreadProblem {
  readonly groups: SpreadGroups;
  /** Shards that are in each group before. */
  readonly counts: Int16Array;
  /** How many each group should hold at most. */
  readonly cap: number;
  /** Members that may be chosen, the best first. */
  readonly ranked: readonly number[];
  /** How willingly each member is taken, by the same index as `ranked`: one of a higher tier only where there is no other way. */
  readonly tiers: readonly number[];
  /** How many are wanted, or as many as there are. */
  readonly count: number;
}

/** One shard too many in a group counts more than any order of rank, and a higher tier more than any number of those. */
const excessCost = 1e5;
const tierCost = 1e9;
const unbounded = 2 ** 30;

/**
 * The best choice there is: of all choices of so many members, those with the lowest tiers; of these, those with the
 * fewest shards beyond `cap` in operators, countries and zones together, none where that is possible; of these, one
 * whose ranks are lowest in sum. Exact, since a zone lies in one country at most: a flow of least cost from operators
 * through members and zones to countries, found by successive shortest paths (Ahuja, Magnanti and Orlin, Network Flows,
 * 1993, section 9.7). It costs tens of microseconds, so whoever calls tries the plain order first.
 *
 * @returns members, in the order of `ranked`
 */
export function chooseSpread({ groups, counts, cap, ranked, tiers, count }: SpreadProblem): number[] {
  const network = new Network();
  const source = network.addNode();
  const sink = network.addNode();
  const nodes = Array.from({ length: groups.count }, () => network.addNode());
  const [operators, countries, zones] = groups.of as [Int16Array, Int16Array, Int16Array];
  const opened = new Set<number>();
  /** Through a group only so many pass for nothing; those beyond it pay. */
  const openGroup = (group: number, from: number, to: number): void => {
    if (opened.has(group)) return;
    opened.add(group);
    const room = Math.max(0, cap - counts[group]!);
    if (room > 0) network.addEdge(from, to, room, 0);
    network.addEdge(from, to, unbounded, excessCost);
  };
  const choices = ranked.map((member, rank) => {
    const operator = operators[member]!;
    const country = countries[member]!;
    const zone = zones[member]!;
    const from = operator === noGroup ? source : nodes[operator]!;
    if (operator !== noGroup) openGroup(operator, source, from);
    const end = country === noGroup ? sink : nodes[country]!;
    if (country !== noGroup) openGroup(country, end, sink);
    const to = zone === noGroup ? end : nodes[zone]!;
    if (zone !== noGroup) openGroup(zone, to, end);
    return network.addEdge(from, to, 1, tiers[rank]! * tierCost + rank);
  });
  for (let taken = 0; taken < count; taken++) if (!network.augment(source, sink)) break;
  return ranked.filter((_, rank) => network.isFull(choices[rank]!));
}

/** How many of `chosen` are beyond `cap` in a group of each level, as `counts` says, in which they are counted. */
export function countExcess(
  { groups, counts, cap }: Pick<SpreadProblem, 'groups' | 'counts' | 'cap'>,
  chosen: readonly number[],
): number[] {
  return spreadLevels.map((_, level) => {
    const touched = new Set(chosen.map((member) => groups.of[level]![member]!));
    touched.delete(noGroup);
    let excess = 0;
    for (const group of touched) excess += Math.max(0, counts[group]! - cap);
    return excess;
  });
}

/** A flow network whose flow grows by one along the cheapest path. */
class Network {
  readonly #out: number[][] = [];
  /** Edges come in pairs: one, and at the next number the way back. */
  readonly #to: number[] = [];
  readonly #room: number[] = [];
  readonly #cost: number[] = [];

  addNode(): number {
    return this.#out.push([]) - 1;
  }

  addEdge(from: number, to: number, room: number, cost: number): number {
    const edge = this.#to.push(to, from) - 2;
    this.#room.push(room, 0);
    this.#cost.push(cost, -cost);
    this.#out[from]!.push(edge);
    this.#out[to]!.push(edge + 1);
    return edge;
  }

  isFull(edge: number): boolean {
    return this.#room[edge] === 0;
  }

  /** Bellman and Ford's way with a queue: costs of ways back are negative. Returns whether there was a path. */
  augment(source: number, sink: number): boolean {
    const costs = new Float64Array(this.#out.length).fill(Number.POSITIVE_INFINITY);
    const via = new Int32Array(this.#out.length).fill(-1);
    const isQueued = new Uint8Array(this.#out.length);
    const queue = [source];
    costs[source] = 0;
    for (let at = 0; at < queue.length; at++) {
      const node = queue[at]!;
      isQueued[node] = 0;
      for (const edge of this.#out[node]!) {
        const next = this.#to[edge]!;
        const cost = costs[node]! + this.#cost[edge]!;
        if (this.#room[edge]! <= 0 || cost >= costs[next]!) continue;
        costs[next] = cost;
        via[next] = edge;
        if (isQueued[next] === 1) continue;
        isQueued[next] = 1;
        queue.push(next);
      }
    }
    if (via[sink] === -1) return false;
    for (let node = sink; node !== source; ) {
      const edge = via[node]!;
      this.#room[edge]! -= 1;
      this.#room[edge ^ 1]! += 1;
      node = this.#to[edge ^ 1]!;
    }
    return true;
  }
}
