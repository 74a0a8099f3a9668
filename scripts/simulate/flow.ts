export class Link {
  /** Bytes a millisecond. */
  readonly capacity: number;
  readonly flows: Flow[] = [];
  /** What one flow may have at most. */
  level: number;
  /** Its share has to be worked out. */
  isDue = false;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.level = capacity;
  }
}

export interface FlowOptions {
  readonly bytes: number;
  /** Bytes a millisecond that this one connection carries at most. */
  readonly cap?: number;
  readonly now: number;
  /** All bytes have come. How many follow on the same connection; 0: it is over. */
  readonly done: () => number;
}

export class Flow {
  readonly up: Link;
  readonly down: Link;
  readonly cap: number;
  readonly done: () => number;
  left: number;
  rate = 0;
  updatedAt: number;
  endsAt = Number.POSITIVE_INFINITY;
  /** In the heap; -1: it is over. */
  position = -1;
  /** Its rate may have changed. */
  isTouched = false;

  constructor(up: Link, down: Link, { bytes, cap = Number.POSITIVE_INFINITY, now, done }: FlowOptions) {
    this.up = up;
    this.down = down;
    this.left = bytes;
    this.cap = cap;
    this.updatedAt = now;
    this.done = done;
  }
}
