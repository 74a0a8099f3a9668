import type { Clock } from '../../base/clock.ts';
import { MISSED_HEARTBEATS } from '../protocol/limits.ts';

/** A supernode that asks for more beats than this is not obeyed. */
const MIN_HEARTBEAT_MS = 100;
/** A timer that is so late: this process did not run (SIGSTOP, a frozen machine). */
const PAUSE_MS = 2000;
/** How long after a pause the supernode has to answer before the session is in doubt, and before it counts as dead. */
const DOUBT_AFTER_PAUSE_MS = 1000;
const END_AFTER_PAUSE_MS = 3000;

export interface PulseListener {
  /** To be sent; the answer has the same number. */
  beat(n: number): void;
  /** A beat is unanswered for longer than usual (true), or the supernode was heard of again (false). */
  doubted(inDoubt: boolean): void;
  /** This process or its machine did not run for so long; the supernode is asked whether it is there. */
  paused(ms: number): void;
  /** Nothing was heard for so long: the session is dead. Nothing comes after it. */
  silent(waitedMs: number): void;
}

/** The beats of an open session: when each is due, and when one that is unanswered is a doubt, and the end. */
export class SessionPulse {
  readonly #clock: Clock;
  readonly #heartbeatMs: number;
  readonly #listener: PulseListener;
  /** The number of the last beat, and when it was sent. */
  #beats = 0;
  #sentAt = 0;
  #lastHeard: number;
  /** On the monotonic clock: the next beat is due, the last one is unanswered for too long, the session is dead. */
  #beatAt: number;
  #doubtAt = Number.POSITIVE_INFINITY;
  #endAt: number;
  #dueAt = 0;
  /** Wall time less monotonic time, when it was last looked at: it changes where the clock is set, or the machine has slept. */
  #drift: number;
  #inDoubt = false;
  #stopped = false;
  #cancel = (): void => undefined;

  /** `heartbeatMs`: as the supernode asks for. It begins as one that was heard of just now, and beats once it is started. */
  constructor(clock: Clock, heartbeatMs: number, listener: PulseListener) {
    this.#clock = clock;
    this.#heartbeatMs = Math.max(MIN_HEARTBEAT_MS, heartbeatMs);
    this.#listener = listener;
    const now = clock.monotonic();
    this.#lastHeard = now;
    this.#beatAt = now + this.#heartbeatMs;
    this.#endAt = now + MISSED_HEARTBEATS * this.#heartbeatMs;
    this.#drift = clock.now() - now;
  }

  start(): void {
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Anything has come. */
  heard(): void {
    this.#lastHeard = this.#clock.monotonic();
    this.#endAt = this.#lastHeard + MISSED_HEARTBEATS * this.#heartbeatMs;
    this.#doubtAt = Number.POSITIVE_INFINITY;
    this.#doubt(false);
  }

  /** Beats now, when the next one is due all the same. */
  beat(): void {
    this.#beats += 1;
    this.#sentAt = this.#clock.monotonic();
    this.#listener.beat(this.#beats);
  }

  /** How long the answer `n` took, in milliseconds; undefined where it answers another beat than the last. */
  answered(n: number): number | undefined {
    return this.#beats > 0 && n === this.#beats ? this.#clock.monotonic() - this.#sentAt : undefined;
  }

  #schedule(): void {
    this.#dueAt = Math.min(this.#beatAt, this.#doubtAt, this.#endAt);
    this.#cancel = this.#clock.after(this.#dueAt - this.#clock.monotonic(), () => this.#tick());
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const drift = this.#clock.now() - now;
    // Where the machine slept, the monotonic clock may have stood still too.
    const pausedMs = Math.max(now - this.#dueAt, drift - this.#drift);
    this.#drift = drift;
    if (pausedMs >= PAUSE_MS) this.#awoke(now, pausedMs);
    else if (now >= this.#endAt) {
      this.stop();
      this.#listener.silent(Math.round(now - this.#lastHeard));
      return;
    } else if (now >= this.#beatAt) {
      this.#beatAt = now + this.#heartbeatMs;
      // While one is unanswered the doubt is its age.
      this.#doubtAt = Math.min(this.#doubtAt, now + this.#heartbeatMs / 2);
      this.beat();
    }
    if (now >= this.#doubtAt) {
      this.#doubtAt = Number.POSITIVE_INFINITY;
      this.#doubt(true);
    }
    if (!this.#stopped) this.#schedule();
  }

  /** What the supernode said meanwhile has not been read yet, and whether it still knows this proxy is to be seen: it is asked at once. */
  #awoke(now: number, pausedMs: number): void {
    this.#endAt = Math.max(this.#endAt, now + END_AFTER_PAUSE_MS);
    this.#beatAt = now + this.#heartbeatMs;
    this.#doubtAt = now + DOUBT_AFTER_PAUSE_MS;
    this.beat();
    this.#listener.paused(Math.round(pausedMs));
  }

  #doubt(inDoubt: boolean): void {
    if (this.#inDoubt === inDoubt) return;
    this.#inDoubt = inDoubt;
    this.#listener.doubted(inDoubt);
  }
}
