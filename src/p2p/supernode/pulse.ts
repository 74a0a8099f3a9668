import type { Clock } from '../../base/clock.ts';

export interface PulseOptions {
  readonly clock: Pick<Clock, 'after'>;
  /** Whole milliseconds on a clock that never jumps. */
  readonly now: () => number;
  /** When something is due next. */
  readonly dueAt: () => number;
  /** Does what is due. */
  readonly tick: (now: number) => void;
  /** Sends what this turn of the event loop has brought about. */
  readonly flush: () => void;
  /** One of them has thrown. */
  readonly fault: (error: unknown) => void;
}

/**
 * When a life of the supernode acts of itself: with one timer for all that is due, and once at the end of a turn of the event
 * loop in which there was something to send. Both are edges: what throws behind them is a fault.
 */
export class Pulse {
  readonly #options: PulseOptions;
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;
  #flushDue = false;
  #stopped = false;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** Something may be due earlier than it was. */
  schedule(): void {
    const { clock, now, dueAt } = this.#options;
    const at = dueAt();
    if (this.#stopped || (this.#timer && this.#timer.at <= at)) return;
    this.#cancel();
    const wait = at - now();
    // What is due at once waits for the other messages of this turn.
    if (wait <= 0) this.flushSoon();
    else this.#timer = { at, cancel: clock.after(wait, () => this.#guard(() => this.#tick())) };
  }

  /** After all messages of this turn of the event loop. */
  flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => this.#guard(() => this.#flush()));
  }

  /** Nothing is called any more. */
  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #tick(): void {
    this.#cancel();
    this.#options.tick(this.#options.now());
    this.schedule();
  }

  #flush(): void {
    const { dueAt, now, flush } = this.#options;
    this.#flushDue = false;
    if (dueAt() <= now()) this.#tick();
    flush();
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #guard(task: () => void): void {
    if (this.#stopped) return;
    try {
      task();
    } catch (error) {
      this.#options.fault(error);
    }
  }
}
