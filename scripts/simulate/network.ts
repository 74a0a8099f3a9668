/*
 * Flows over links, no packets. Every node has a link up and a link down; a flow's rate is what both of its links leave it.
 * A link shares its capacity by water filling: a flow that its other link holds back leaves the rest to the others. What a
 * flow may have is worked out anew for the two links at which a flow begins or ends, and not further ("truncated" max-min).
 */

export class Link {
  /** Bytes a millisecond. */
  readonly capacity: number;
  readonly flows: Flow[] = [];
  /** What one flow may have at most, when it was last shared. */
  level: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.level = capacity;
  }
}

export class Flow {
  readonly up: Link;
  readonly down: Link;
  /** Most that this one connection carries. */
  readonly cap: number;
  readonly done: () => void;
  left: number;
  rate = 0;
  upShare = 0;
  downShare = 0;
  updatedAt: number;
  endsAt = Number.POSITIVE_INFINITY;
  /** In the heap; -1: it is over. */
  position = -1;

  constructor(up: Link, down: Link, options: { bytes: number; cap: number; now: number; done: () => void }) {
    this.up = up;
    this.down = down;
    this.left = options.bytes;
    this.cap = options.cap;
    this.updatedAt = options.now;
    this.done = options.done;
  }
}

export class Network {
  /** Flows by when they end. */
  readonly #heap: Flow[] = [];
  #now = 0;

  get nextAt(): number {
    return this.#heap[0]?.endsAt ?? Number.POSITIVE_INFINITY;
  }

  get flows(): number {
    return this.#heap.length;
  }

  start(up: Link, down: Link, options: { bytes: number; cap?: number; now: number; done: () => void }): Flow {
    this.#now = options.now;
    const flow = new Flow(up, down, { cap: Number.POSITIVE_INFINITY, ...options });
    up.flows.push(flow);
    down.flows.push(flow);
    flow.position = this.#heap.length;
    this.#heap.push(flow);
    this.#share(up);
    this.#share(down);
    return flow;
  }

  /** Ends a flow before its time; what it has not carried. */
  stop(flow: Flow, now: number): number {
    if (flow.position < 0) return 0;
    this.#now = now;
    this.#advance(flow);
    this.#remove(flow);
    return flow.left;
  }

  /** Ends the first flow that is due. */
  finishNext(): void {
    const flow = this.#heap[0]!;
    this.#now = flow.endsAt;
    flow.left = 0;
    this.#remove(flow);
    flow.done();
  }

  #remove(flow: Flow): void {
    for (const flows of [flow.up.flows, flow.down.flows]) {
      const last = flows.pop()!;
      if (last !== flow) flows[flows.indexOf(flow)] = last;
    }
    const last = this.#heap.pop()!;
    if (last !== flow) {
      this.#heap[flow.position] = last;
      last.position = flow.position;
      this.#place(last);
    }
    flow.position = -1;
    this.#share(flow.up);
    this.#share(flow.down);
  }

  /** Shares a link's capacity among its flows, none of which can use more than its other link gives one. */
  #share(link: Link): void {
    const { flows } = link;
    let open = flows.length;
    let level = link.capacity / Math.max(1, open);
    // Who wants less than an even share gets that; the level rises for the others. Three rounds are near enough.
    for (let round = 0; round < 3 && open > 0; round += 1) {
      let left = link.capacity;
      let most = 0;
      open = 0;
      for (const flow of flows) {
        const wanted = wantedAt(flow, link);
        if (wanted <= level) left -= wanted;
        else open += 1;
        most = Math.max(most, wanted);
      }
      level = open > 0 ? left / open : left + most;
    }
    link.level = level;
    for (const flow of flows) {
      const share = Math.min(level, wantedAt(flow, link));
      if (flow.up === link) flow.upShare = share;
      else flow.downShare = share;
      this.#update(flow);
    }
  }

  #update(flow: Flow): void {
    const other = flow.upShare === 0 || flow.downShare === 0 ? 0 : Math.min(flow.upShare, flow.downShare);
    if (other === flow.rate) return;
    this.#advance(flow);
    flow.rate = other;
    flow.endsAt = other > 0 ? this.#now + flow.left / other : Number.POSITIVE_INFINITY;
    this.#place(flow);
  }

  #advance(flow: Flow): void {
    flow.left = Math.max(0, flow.left - flow.rate * (this.#now - flow.updatedAt));
    flow.updatedAt = this.#now;
  }

  #place(flow: Flow): void {
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

function wantedAt(flow: Flow, link: Link): number {
  return Math.min(flow.cap, (flow.up === link ? flow.down : flow.up).level);
}
