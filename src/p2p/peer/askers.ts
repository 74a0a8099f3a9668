import type { Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';

export interface AskerLimits {
  /** Requests at the same time. */
  readonly pipelined: number;
  readonly perSecond: number;
}

/** One connection to the piece port: how much is asked on it, and who has opened it. */
export class Asker {
  /** That opened it last; undefined: nobody has shown a good one yet. */
  token: string | undefined;
  readonly #limits: AskerLimits;
  readonly #clock: Clock;
  /** Requests of which the answer is not out yet. */
  #running = 0;
  /** The current second, and the requests in it. */
  #second = 0;
  #requests = 0;

  constructor(limits: AskerLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** A request has come. False: it is one too many at the same time, and is not to be answered. */
  begin(): boolean {
    if (this.#running >= this.#limits.pipelined) return false;
    this.#running += 1;
    return true;
  }

  /** A request that was begun is over. */
  end(): void {
    this.#running -= 1;
  }

  /** Counts a request. False: there were too many in this second. */
  count(): boolean {
    const second = Math.floor(this.#clock.monotonic() / 1000);
    if (this.#second !== second) this.#requests = 0;
    this.#second = second;
    this.#requests += 1;
    return this.#requests <= this.#limits.perSecond;
  }
}

/** The connections of the piece port that are open and on which something was asked. */
export class Askers {
  readonly #limits: AskerLimits;
  readonly #clock: Clock;
  readonly #all = new Map<Socket, Asker>();

  constructor(limits: AskerLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  get size(): number {
    return this.#all.size;
  }

  of(socket: Socket): Asker {
    const known = this.#all.get(socket);
    if (known) return known;
    const asker = new Asker(this.#limits, this.#clock);
    this.#all.set(socket, asker);
    socket.once('close', () => this.#all.delete(socket));
    return asker;
  }

  /** Ends those that were opened with a token that is no good any more. */
  recheck(isGood: (token: string) => boolean): void {
    for (const [socket, { token }] of this.#all) if (token !== undefined && !isGood(token)) socket.destroy();
  }
}
