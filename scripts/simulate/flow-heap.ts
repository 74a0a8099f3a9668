import type { Flow } from './flow.ts';

/** Flows by when they end: a binary heap in which each flow knows its place. */
export class FlowHeap {
  readonly #heap: Flow[] = [];

  get first(): Flow | undefined {
    return this.#heap[0];
  }

  get size(): number {
    return this.#heap.length;
  }

  add(flow: Flow): void {
    flow.position = this.#heap.length;
    this.#heap.push(flow);
    this.moved(flow);
  }

  remove(flow: Flow): void {
    const last = this.#heap.pop()!;
    if (last !== flow) {
      this.#put(last, flow.position);
      this.moved(last);
    }
    flow.position = -1;
  }

  /** The flow's end has changed. */
  moved(flow: Flow): void {
    const heap = this.#heap;
    let position = flow.position;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (heap[parent]!.endsAt <= flow.endsAt) break;
      this.#put(heap[parent]!, position);
      position = parent;
    }
    for (;;) {
      let child = 2 * position + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.endsAt < heap[child]!.endsAt) child += 1;
      if (heap[child]!.endsAt >= flow.endsAt) break;
      this.#put(heap[child]!, position);
      position = child;
    }
    this.#put(flow, position);
  }

  #put(flow: Flow, position: number): void {
    this.#heap[position] = flow;
    flow.position = position;
  }
}
