import type { ProviderId, ProviderRecord } from '../core/model.ts';

/** What may fail together, from the widest promise to the narrowest. */
export const spreadLevels = ['operator', 'country', 'zone'] as const;
export type SpreadLevel = (typeof spreadLevels)[number];

/** What is known of a provider that says with which others it may fail. */
export type SpreadLabels = Pick<ProviderRecord, 'id' | 'operator' | 'country' | 'zone'>;

/** A member that nobody said anything of stands for itself: no group, and so no bound but that it holds one shard. */
export const noGroup = -1;

/**
 * Which members share an operator, a country or a zone, as small numbers. Names are compared as they are written. A zone
 * is a place within its country: the same name in another country is another zone, and a zone without a country is
 * compared with those without one. So a zone lies in one country at most, which is what makes placement exact.
 */
export class SpreadGroups {
  /** How many groups there are, over all levels. */
  readonly count: number;
  /** The group of each member, by level and by the member's index; `noGroup` for one that stands for itself. */
  readonly of: readonly Int16Array[];
  readonly #indexes: ReadonlyMap<ProviderId, number>;

  constructor(members: readonly SpreadLabels[]) {
    const numbers = new Map<string, number>();
    const numberOf = (name: string): number => {
      const number = numbers.get(name) ?? numbers.size;
      numbers.set(name, number);
      return number;
    };
    this.of = spreadLevels.map((level) =>
      Int16Array.from(members, (member) => {
        if (member[level] === '') return noGroup;
        return numberOf(level === 'zone' ? zoneName(member) : `${level} ${member[level]}`);
      }),
    );
    this.count = numbers.size;
    this.#indexes = new Map(members.map(({ id }, index) => [id, index]));
  }

  /** How many of these providers are in each group. Those that are not members count nowhere. */
  countHolders(holders: readonly ProviderId[]): Int16Array {
    const counts = new Int16Array(this.count);
    for (const id of holders) {
      const index = this.#indexes.get(id);
      if (index !== undefined) this.add(counts, index, 1);
    }
    return counts;
  }

  add(counts: Int16Array, member: number, step: 1 | -1): void {
    for (const groups of this.of) {
      const group = groups[member]!;
      if (group !== noGroup) counts[group]! += step;
    }
  }

  /** Whether one more shard at this member keeps every group within `cap`. */
  allows(counts: Int16Array, member: number, cap: number): boolean {
    for (const groups of this.of) {
      const group = groups[member]!;
      if (group !== noGroup && counts[group]! >= cap) return false;
    }
    return true;
  }

  isIn(member: number, group: number): boolean {
    return this.of.some((groups) => groups[member] === group);
  }
}

function zoneName({ country, zone }: SpreadLabels): string {
  return `zone ${country}\n${zone}`;
}
