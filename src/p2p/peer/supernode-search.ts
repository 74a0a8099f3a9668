import type { Clock } from '../../base/clock.ts';
import type { AttemptContext } from './supernode-attempt.ts';
import type { FindCandidates } from './supernode-dial.ts';
import { STAGGER_MS, SupernodeLane, type LaneListener } from './supernode-lane.ts';

/**
 * How long a supernode that has answered is kept waiting for one earlier in the list that has not answered yet: all proxies are
 * to use the first that is up. Well below what a supernode waits for `hello`.
 */
export const PATIENCE_MS = 2000;

export interface SearchOptions {
  readonly urls: readonly string[];
  readonly candidates: FindCandidates;
  /** What the attempts at the supernode of that index are made with. */
  readonly contextOf: (index: number) => AttemptContext;
  readonly clock: Clock;
  readonly random: () => number;
  readonly tried: (index: number) => void;
  readonly failed: (index: number, error: Error) => void;
}

/**
 * Finds the first supernode of the list that is up. All are looked for at the same time, each beginning a little after the one
 * before it (at once, when that has failed), so that none that hangs holds up the others. A connection is opened up to the
 * supernode's first message; who gets this proxy's `hello` then goes by the order of the list.
 */
export class SupernodeSearch implements LaneListener {
  readonly #options: SearchOptions;
  readonly #lanes: readonly SupernodeLane[];
  #cancel = (): void => undefined;

  constructor(options: SearchOptions) {
    this.#options = options;
    const { candidates, clock, random, contextOf } = options;
    this.#lanes = options.urls.map(
      (url, index) =>
        new SupernodeLane({ url, index, candidates, context: contextOf(index), clock, random, listener: this }),
    );
  }

  /**
   * Looks for any, from `afterMs` on. `flawed`: the one whose session has ended too soon; the waits before it go on growing.
   */
  seek(afterMs: number, flawed?: number): void {
    for (const lane of this.#lanes) {
      const isFlawed = lane.index === flawed;
      lane.stop();
      lane.seek(afterMs + lane.index * STAGGER_MS, { afresh: !isFlawed });
    }
  }

  /** There is a session with that one: those before it are looked for now and then. `keep`: see `SupernodeLane.stop`. */
  found(index: number, keep?: 'asked'): void {
    this.#cancel();
    for (const lane of this.#lanes) {
      if (lane.index < index) lane.lookBack(keep);
      else lane.stop(keep);
    }
  }

  /** The session with that one may be dead: it and those before it are looked for while it lasts. */
  doubt(index: number): void {
    for (const lane of this.#lanes.slice(0, index + 1)) {
      lane.stop();
      lane.seek(this.#options.random() * STAGGER_MS + lane.index * STAGGER_MS, { afresh: true });
    }
  }

  stop(): void {
    this.#cancel();
    for (const lane of this.#lanes) lane.stop();
  }

  // --- what lanes say ---

  changed(): void {
    const now = this.#options.clock.monotonic();
    let isEarlierOpen = false;
    let againAt = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes) {
      for (const attempt of lane.attempts) {
        const until = attempt.heldAt + PATIENCE_MS;
        if (attempt.phase === 'held' && isEarlierOpen && until > now) againAt = Math.min(againAt, until);
        else attempt.hello();
        isEarlierOpen = true;
      }
      isEarlierOpen ||= lane.isBeginning;
    }
    this.#cancel();
    if (againAt < Number.POSITIVE_INFINITY) {
      this.#cancel = this.#options.clock.after(againAt - now, () => this.changed());
    }
  }

  tried({ index }: SupernodeLane): void {
    this.#options.tried(index);
  }

  failed({ index }: SupernodeLane, error: Error): void {
    this.#options.failed(index, error);
    this.#lanes[index + 1]?.hurry();
  }
}
