/** A set of byte positions, kept as disjoint intervals `[start, end)` in order. */
export class Intervals {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  add(start: number, end: number): void {
    if (end <= start) return;
    let from = 0;
    while (from < this.#ends.length && this.#ends[from]! < start) from += 1;
    let to = from;
    let newStart = start;
    let newEnd = end;
    while (to < this.#starts.length && this.#starts[to]! <= end) {
      newStart = Math.min(newStart, this.#starts[to]!);
      newEnd = Math.max(newEnd, this.#ends[to]!);
      to += 1;
    }
    this.#starts.splice(from, to - from, newStart);
    this.#ends.splice(from, to - from, newEnd);
  }

  remove(start: number, end: number): void {
    if (end <= start) return;
    const starts = this.#starts.splice(0);
    const ends = this.#ends.splice(0);
    for (const [i, from] of starts.entries()) {
      this.add(from, Math.min(ends[i]!, start));
      this.add(Math.max(from, end), ends[i]!);
    }
  }

  /** Any position from `start` to `end` (exclusive) is in it. */
  overlaps(start: number, end: number): boolean {
    return this.#starts.some((from, i) => from < end && this.#ends[i]! > start);
  }

  /** The end of the interval that holds `position`; `position` itself where none does. */
  endFrom(position: number): number {
    for (let i = 0; i < this.#starts.length; i += 1) {
      if (this.#starts[i]! > position) break;
      if (position < this.#ends[i]!) return this.#ends[i]!;
    }
    return position;
  }

  covers(start: number, end: number): boolean {
    return end <= start || this.endFrom(start) >= end;
  }
}
