import { setTimeout as sleepFor } from 'node:timers/promises';

/** The time, as far as a part needs it; `ManualClock` in the tests is its twin. */
export interface Clock {
  /** Wall time in milliseconds since 1970: for records that outlive the process. It may jump. */
  now(): number;
  /** Milliseconds on a clock that never jumps: for durations. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once after `ms`, without keeping the process alive; the returned function cancels. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await sleepFor(ms, undefined, { signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
