interface Entry {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
}

/** What is to be done at a later time: a binary heap by time, then by when it was put in. */
export class Agenda {
  readonly #heap: Entry[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** The time of the first task; Infinity when there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  add(at: number, task: () => void): void {
    const heap = this.#heap;
    const entry = { at, order: this.#order, task };
    this.#order += 1;
    let position = heap.length;
    heap.push(entry);
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[position] = heap[parent]!;
      position = parent;
    }
    heap[position] = entry;
  }

  /** The first task whose time has come, taken out. */
  takeDue(now: number): (() => void) | undefined {
    const first = this.#heap[0];
    if (!first || first.at > now) return undefined;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) this.#sink(last);
    return first.task;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let position = 0;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, entry)) break;
      heap[position] = heap[child]!;
      position = child;
    }
    heap[position] = entry;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
