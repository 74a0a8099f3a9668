import type { Clock } from './clock.ts';
import { KiB } from './units.ts';

/** The most that is granted at a time, in bytes: who shares the rate gets its turn soon. */
export const MAX_GRANT_BYTES = 64 * KiB;

/**
 * What the bucket holds, as time at the full rate. Timers are late by some milliseconds, which must cost no throughput; and a
 * grant is never more, so that even eight who share a low rate each see bytes several times a second, and none looks stalled.
 */
const BUCKET_MS = 50;

interface Waiter {
  /** What it asks for; it is granted no more than a bucket holds. */
  readonly bytes: number;
  readonly grant: (bytes: number) => void;
}

/** A rate in bytes a second, shared by all who ask: a token bucket, first come, first served. */
export class Limiter {
  readonly #clock: Clock;
  /** Bytes a millisecond; Infinity: no limit. */
  #rate = Number.POSITIVE_INFINITY;
  #capacity = 0;
  #most = 0;
  readonly #queue: Waiter[] = [];
  #tokens = 0;
  #filledAt: number;
  #cancel: (() => void) | undefined;

  /** `bytesPerSecond` undefined: unlimited, and asking costs nothing. */
  constructor(options: { bytesPerSecond: number | undefined; clock: Clock }) {
    this.#clock = options.clock;
    this.#filledAt = options.clock.monotonic();
    this.setRate(options.bytesPerSecond);
    this.#tokens = this.#capacity;
  }

  /** From now on; who waits is granted what it can be at the new rate. */
  setRate(bytesPerSecond: number | undefined): void {
    if (!this.isUnlimited) this.#fill();
    this.#rate = (bytesPerSecond ?? Number.POSITIVE_INFINITY) / 1000;
    this.#capacity = Math.max(1, this.#rate * BUCKET_MS);
    this.#most = Math.min(MAX_GRANT_BYTES, Math.floor(this.#capacity));
    this.#tokens = Math.min(this.#tokens, this.#capacity);
    this.#filledAt = this.#clock.monotonic();
    if (this.#queue.length > 0) this.#serve();
  }

  get isUnlimited(): boolean {
    return this.#rate === Number.POSITIVE_INFINITY;
  }

  /** What may pass at once, of `bytes`: all of it where there is no limit; 0 while there is nothing, or others wait. */
  tryTake(bytes: number): number {
    if (this.isUnlimited) return bytes;
    if (this.#queue.length > 0) return 0;
    this.#fill();
    const wanted = Math.min(bytes, this.#most);
    if (this.#tokens < wanted) return 0;
    this.#tokens -= wanted;
    return wanted;
  }

  /**
   * Waits for its turn; the number of bytes that may pass then, from 1 to `bytes`, at most MAX_GRANT_BYTES where there is a
   * limit. Rejects with the signal's reason when that aborts first.
   */
  async take(bytes: number, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    const granted = this.tryTake(bytes);
    return granted > 0 ? granted : this.#wait(bytes, signal);
  }

  #wait(bytes: number, signal: AbortSignal | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        bytes,
        grant: (granted) => {
          signal?.removeEventListener('abort', leave);
          resolve(granted);
        },
      };
      const leave = (): void => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        this.#serve();
        reject(signal!.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#queue.push(waiter);
      if (this.#queue.length === 1) this.#serve();
    });
  }

  #fill(): void {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#filledAt) * this.#rate);
    this.#filledAt = now;
  }

  /** Grants what can be granted, and sets the timer for the next one. */
  #serve(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.isUnlimited) {
      for (const { bytes, grant } of this.#queue.splice(0)) grant(bytes);
      return;
    }
    this.#fill();
    let next = this.#queue[0];
    let wanted = 0;
    for (; next; next = this.#queue[0]) {
      wanted = Math.min(next.bytes, this.#most);
      if (this.#tokens < wanted) break;
      this.#queue.shift();
      this.#tokens -= wanted;
      next.grant(wanted);
    }
    if (!next) return;
    const waitMs = Math.max(1, Math.ceil((wanted - this.#tokens) / this.#rate));
    this.#cancel = this.#clock.after(waitMs, () => this.#serve());
  }
}
