/*
 * Flows over links, no packets. Every node has a link up and a link down; a flow has the rate that the tighter of its two
 * links leaves it (max-min fair): a link shares its capacity evenly among its flows, and what a flow cannot use, because its
 * other link or its own cap holds it back, the others get. When a flow begins or ends, the shares of its links are worked out
 * anew, then those of the links at the other ends of the flows that this changes, and so on as far as it matters.
 */
import { FlowHeap } from './flow-heap.ts';
import { Flow, type FlowOptions, type Link } from './flow.ts';

/** Smaller changes of a link's share are not carried on to other links. */
const CARRY_ON_FROM = 0.005;
/** Links whose shares are worked out at one event; the others follow at the next one. */
const LINKS_PER_EVENT = 60;

export class Network {
  readonly #flows = new FlowHeap();
  #due: Link[] = [];
  readonly #touched: Flow[] = [];
  #now = 0;

  /** When the next flow has carried its bytes. */
  get nextAt(): number {
    return this.#flows.first?.endsAt ?? Number.POSITIVE_INFINITY;
  }

  get flows(): number {
    return this.#flows.size;
  }

  start(up: Link, down: Link, options: FlowOptions): Flow {
    this.#now = options.now;
    const flow = new Flow(up, down, options);
    up.flows.push(flow);
    down.flows.push(flow);
    this.#flows.add(flow);
    this.#changed(up, down);
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

  /** The first flow that is due has carried its bytes. */
  finishNext(): void {
    const flow = this.#flows.first!;
    this.#now = flow.endsAt;
    flow.updatedAt = this.#now;
    flow.left = 0;
    flow.left = flow.done();
    if (flow.left > 0) {
      flow.endsAt = this.#now + flow.left / flow.rate;
      this.#flows.moved(flow);
    } else this.#remove(flow);
  }

  #remove(flow: Flow): void {
    for (const flows of [flow.up.flows, flow.down.flows]) {
      const last = flows.pop()!;
      if (last !== flow) flows[flows.indexOf(flow)] = last;
    }
    this.#flows.remove(flow);
    this.#changed(flow.up, flow.down);
  }

  #changed(up: Link, down: Link): void {
    this.#dueNow(up);
    this.#dueNow(down);
    const due = this.#due;
    let next = 0;
    for (; next < due.length && next < LINKS_PER_EVENT; next += 1) {
      due[next]!.isDue = false;
      this.#share(due[next]!);
    }
    this.#due = due.slice(next);
    for (const flow of this.#touched) {
      flow.isTouched = false;
      if (flow.position >= 0) this.#update(flow);
    }
    this.#touched.length = 0;
  }

  #dueNow(link: Link): void {
    if (link.isDue) return;
    link.isDue = true;
    this.#due.push(link);
  }

  #share(link: Link): void {
    const before = link.level;
    const level = fairLevel(link);
    link.level = level;
    const isLittle = Math.abs(level - before) <= CARRY_ON_FROM * before;
    for (const flow of link.flows) {
      if (!flow.isTouched) {
        flow.isTouched = true;
        this.#touched.push(flow);
      }
      if (isLittle) continue;
      // The other link is concerned unless the flow takes its full share there, before and now.
      const other = flow.up === link ? flow.down : flow.up;
      if (Math.min(flow.cap, before, level) < other.level) this.#dueNow(other);
    }
  }

  #update(flow: Flow): void {
    const rate = Math.min(flow.cap, flow.up.level, flow.down.level);
    if (rate === flow.rate) return;
    this.#advance(flow);
    flow.rate = rate;
    flow.endsAt = this.#now + flow.left / rate;
    this.#flows.moved(flow);
  }

  #advance(flow: Flow): void {
    flow.left = Math.max(0, flow.left - flow.rate * (this.#now - flow.updatedAt));
    flow.updatedAt = this.#now;
  }
}

/** Water filling: who wants less than an even share gets that, and the level rises for the others. */
function fairLevel(link: Link): number {
  const { flows, capacity } = link;
  let open = flows.length;
  let level = capacity / Math.max(1, open);
  for (;;) {
    const before = open;
    let left = capacity;
    let most = 0;
    open = 0;
    for (const flow of flows) {
      const wanted = Math.min(flow.cap, (flow.up === link ? flow.down : flow.up).level);
      if (wanted <= level) left -= wanted;
      else open += 1;
      most = Math.max(most, wanted);
    }
    // Nobody is held back here: one flow could have what is left besides its own.
    if (open === 0) return Math.min(capacity, left + most);
    level = left / open;
    // Rounding may make one more of them.
    if (open >= before) return level;
  }
}
