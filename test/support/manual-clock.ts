import type { Clock } from '../../src/base/clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #wallMs: number;
  #passedMs = 0;
  readonly #timers = new Set<Timer>();

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonic(): number {
    return this.#passedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.after(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#passedMs + Math.max(0, ms), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers and sleeps are waiting. */
  get waiting(): number {
    return this.#timers.size;
  }

  /**
   * Lets `ms` pass: what falls due is called in its order, and between any two the event loop goes round, so that what follows
   * from the one happens before the other.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#passedMs + ms;
    for (let next = this.#nextBefore(end); next; next = this.#nextBefore(end)) {
      this.#timers.delete(next);
      this.#moveTo(next.at);
      next.callback();
      await turn();
    }
    this.#moveTo(end);
    await turn();
  }

  /** The process does not run for `ms` (SIGSTOP): what fell due meanwhile is late, and is called when the clock next goes on. */
  stall(ms: number): void {
    this.#moveTo(this.#passedMs + ms);
  }

  /** Somebody sets the clock by so much. */
  set(byMs: number): void {
    this.#wallMs += byMs;
  }

  #nextBefore(end: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer;
    return next;
  }

  #moveTo(passedMs: number): void {
    // Two who advance the clock at once must not turn it back.
    if (passedMs <= this.#passedMs) return;
    this.#wallMs += passedMs - this.#passedMs;
    this.#passedMs = passedMs;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
