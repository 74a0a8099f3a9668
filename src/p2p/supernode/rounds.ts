/** How often the supernode looks after what no message brings about: who was missed, who is late. */
export const ROUND_MS = 250;
/** A round that is later than this was held up: by a stopped process or a suspended machine, not by load. */
export const PAUSE_MS = 2000;

export interface RoundsOptions {
  /** This process did not run for so long. Comes before the round that shows it. */
  readonly paused: (ms: number) => void;
  readonly round: (now: number) => void;
}

/** Rounds at their times, and what it means when one is late. No timer: it is told the time. */
export class Rounds {
  readonly #options: RoundsOptions;
  #dueAt: number;

  constructor(now: number, options: RoundsOptions) {
    this.#options = options;
    this.#dueAt = now + ROUND_MS;
  }

  get dueAt(): number {
    return this.#dueAt;
  }

  /** Time has passed: makes the round, if it is due. */
  tick(now: number): void {
    if (now < this.#dueAt) return;
    const lateMs = now - this.#dueAt;
    this.#dueAt = now + ROUND_MS;
    if (lateMs >= PAUSE_MS) this.#options.paused(lateMs);
    this.#options.round(now);
  }
}
