import type { Clock } from '../../src/base/clock.ts';
import { asError } from '../../src/base/errors.ts';

/** Timers that fall due within such a time are one instant: what they bring about takes its course before the next. */
const TICK_MS = 10;
/** Rounds of the event loop that an instant gets: a message and its answer, a few times. */
const ROUNDS = 4;

/** Virtual time for thousands of machines at once: as fast as the computer allows, and no faster than causes have effects. */
export class VirtualClock implements Clock {
  readonly #startedAt = Date.UTC(2026, 0, 1);
  /** By the instant. */
  readonly #due = new Map<number, Set<() => void>>();
  #tick = 0;

  now(): number {
    return this.#startedAt + this.monotonic();
  }

  monotonic(): number {
    return this.#tick * TICK_MS;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const cancel = this.after(ms, resolve);
      signal?.addEventListener(
        'abort',
        () => {
          cancel();
          reject(asError(signal.reason));
        },
        { once: true },
      );
    });
  }

  after(ms: number, callback: () => void): () => void {
    const tick = this.#tick + Math.max(1, Math.ceil(ms / TICK_MS));
    const due = this.#due.get(tick) ?? new Set();
    this.#due.set(tick, due);
    const task = (): void => callback();
    due.add(task);
    return () => void due.delete(task);
  }

  /** Lets time pass until something is so, or `limitMs` are over; whether it is. */
  async runUntil(condition: () => boolean, limitMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const end = this.monotonic() + limitMs;
    while (!condition()) {
      if (this.monotonic() >= end) return false;
      this.#tick += 1;
      const due = this.#due.get(this.#tick);
      this.#due.delete(this.#tick);
      for (const task of due ?? []) task();
      for (let round = 0; round < ROUNDS; round += 1) {
        await new Promise<void>((resolve) => {
          setImmediate(resolve);
        });
      }
    }
    return true;
  }
}
