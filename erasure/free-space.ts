interface Extent {
  readonly offset: number;
  readonly bytes: number;
}

/** Which bytes of a range are free: the first place that fits is taken, and neighbours that are given back join. */
export class FreeSpace {
  readonly #range: Extent;
  /** In ascending order; no two touch. */
  #extents: Extent[];

  constructor(range: Extent) {
    this.#range = range;
    this.#extents = [range];
  }

  /** Whether nothing is taken. */
  get isWhole(): boolean {
    return this.#extents[0]?.bytes === this.#range.bytes;
  }

  /** @returns the offset, or undefined where there is no such place */
  take(bytes: number): number | undefined {
    const at = this.#extents.findIndex((extent) => extent.bytes >= bytes);
    const extent = this.#extents[at];
    if (extent === undefined) return undefined;
    const rest = { offset: extent.offset + bytes, bytes: extent.bytes - bytes };
    this.#extents.splice(at, 1, ...(rest.bytes > 0 ? [rest] : []));
    return extent.offset;
  }

  /** What was taken comes back, whole. */
  giveBack(offset: number, bytes: number): void {
    const end = offset + bytes;
    const before = this.#extents.find((extent) => extent.offset + extent.bytes === offset);
    const after = this.#extents.find((extent) => extent.offset === end);
    const joined = {
      offset: before?.offset ?? offset,
      bytes: bytes + (before?.bytes ?? 0) + (after?.bytes ?? 0),
    };
    this.#extents = this.#extents.filter((extent) => extent !== before && extent !== after);
    const at = this.#extents.findIndex((extent) => extent.offset > offset);
    this.#extents.splice(at === -1 ? this.#extents.length : at, 0, joined);
  }
}
