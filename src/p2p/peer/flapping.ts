import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';

/** More changes within this time are summed up; with no more than so many in a whole such time it has settled. */
export const FLAP_WINDOW_MS = 60_000;
export const FLAP_CHANGES = 6;
const SETTLED_CHANGES = 2;
/** While it lasts, how often it is summed up. */
const FLAP_SUMMARY_MS = 5 * 60_000;

export interface Change {
  readonly state: string;
  readonly code: string;
}

/**
 * Keeps a supernode that comes and goes from filling the log: after some changes within a minute they are only counted, and the
 * counts told (SUPERNODE_FLAPPING), until it has settled.
 */
export class Flapping {
  readonly #options: { url: string; clock: Clock; log: Logger; settled: () => void };
  /** When the last changes were that count; all are told. */
  #changes: number[] = [];
  /** Undefined: it does not flap. */
  #counts: Map<string, number> | undefined;
  #inWindow = 0;
  #toldAt = 0;
  #cancel = (): void => undefined;

  /** `settled`: the present state is to be told, as changes before it were not. */
  constructor(options: { url: string; clock: Clock; log: Logger; settled: () => void }) {
    this.#options = options;
  }

  /** Counts a change. Whether it is to be told by itself. */
  mayTell({ state, code }: Change): boolean {
    const now = this.#options.clock.monotonic();
    const counts = this.#counts;
    if (counts) {
      const kind = code === '' ? state : code;
      // Codes come from outside too: there are some thirty.
      if (counts.has(kind) || counts.size < 64) counts.set(kind, (counts.get(kind) ?? 0) + 1);
      this.#inWindow += 1;
      return false;
    }
    this.#changes = [...this.#changes.filter((at) => now - at < FLAP_WINDOW_MS), now];
    if (this.#changes.length <= FLAP_CHANGES) return true;
    this.#begin(now, code === '' ? state : code);
    return false;
  }

  close(): void {
    this.#cancel();
  }

  #begin(now: number, kind: string): void {
    this.#counts = new Map([[kind, 1]]);
    this.#inWindow = 0;
    this.#toldAt = now;
    this.#tell(`${this.#changes.length} changes within a minute`);
    this.#changes = [];
    this.#watch();
  }

  #watch(): void {
    this.#cancel = this.#options.clock.after(FLAP_WINDOW_MS, () => {
      const now = this.#options.clock.monotonic();
      const hasSettled = this.#inWindow <= SETTLED_CHANGES;
      this.#inWindow = 0;
      if (hasSettled) {
        this.#counts = undefined;
        this.#options.settled();
        return;
      }
      if (now - this.#toldAt >= FLAP_SUMMARY_MS) {
        this.#toldAt = now;
        this.#tell('it goes on');
        this.#counts = new Map();
      }
      this.#watch();
    });
  }

  #tell(what: string): void {
    const { url, log } = this.#options;
    const counts = Object.fromEntries(this.#counts!);
    const todo = "see the supernode's log, and what lies between: it comes and goes; the lines before this one say why";
    log.warn(
      { code: 'SUPERNODE_FLAPPING', url, counts, todo },
      `the supernode comes and goes (${what}): its changes are only counted until it has settled`,
    );
  }
}
