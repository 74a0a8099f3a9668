import type { Clock } from '../base/clock.ts';
import type { GatedTransport } from './gated-transport.ts';

/** How often the connections of settings that hold no more are looked after, and how often at most, in milliseconds and times. */
const LOOK_MS = 60_000;
const LOOKS = 60;

/** Transports of settings that hold no more: what is read through them goes on, and their connections go once they are idle. */
export class RetiredTransports {
  readonly #clock: Clock;
  readonly #set = new Set<GatedTransport>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Those that are still looked after. */
  [Symbol.iterator](): Iterator<GatedTransport> {
    return this.#set.values();
  }

  /** Its idle connections go now, and those in use once they are idle. */
  add(transport: GatedTransport): void {
    this.#set.add(transport);
    const look = (left: number): void => {
      transport.closeIdle();
      if (left === 0) this.#set.delete(transport);
      else this.#clock.after(LOOK_MS, () => look(left - 1));
    };
    look(LOOKS);
  }
}
