/** A set in no order, out of which one can be taken by its position and the next in turn, each in constant time. */
export class Bag<T> {
  readonly #items: T[] = [];
  readonly #positions = new Map<T, number>();
  #turn = 0;

  get size(): number {
    return this.#items.length;
  }

  has(item: T): boolean {
    return this.#positions.has(item);
  }

  add(item: T): void {
    if (this.#positions.has(item)) return;
    this.#positions.set(item, this.#items.length);
    this.#items.push(item);
  }

  delete(item: T): void {
    const position = this.#positions.get(item);
    if (position === undefined) return;
    this.#positions.delete(item);
    const last = this.#items.pop()!;
    if (position === this.#items.length) return;
    this.#items[position] = last;
    this.#positions.set(last, position);
  }

  at(position: number): T | undefined {
    return this.#items[position];
  }

  /** Whose turn it is: each gets one as often as any other. */
  next(): T | undefined {
    if (this.#turn >= this.#items.length) this.#turn = 0;
    const item = this.#items[this.#turn];
    this.#turn += 1;
    return item;
  }

  values(): IterableIterator<T> {
    return this.#items.values();
  }
}
