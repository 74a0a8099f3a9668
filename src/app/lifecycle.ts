import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { AlreadyStopping, PartStartTimeout } from './errors.ts';

/** One part of a process, as far as starting and stopping it goes. */
export interface Part<T> {
  /** For the log: `store`, `mirror`. */
  readonly name: string;
  start(): Promise<T>;
  /**
   * Lets go at once what another process that takes over needs (a port); what runs goes on until `stop`. Called for all parts before
   * any is stopped.
   */
  release?(started: T): void | Promise<void>;
  /** Gives back what `start` took. */
  stop(started: T): Promise<void>;
  readonly startBoundMs?: number;
  readonly stopBoundMs?: number;
}

const START_BOUND_MS = 60_000;
const STOP_BOUND_MS = 10_000;
const LOOK_ABOVE = 'mend what the text names, and start Hawker again';
const HARMLESS = 'nothing, if the process ends; else end it with SIGKILL (the store takes no harm), and report it';

interface Stopper {
  readonly name: string;
  readonly release: () => void | Promise<void>;
  readonly boundMs: number;
  readonly stop: () => Promise<void>;
}

/**
 * Starts the parts of a process in the order in which it is told to, and stops them in reverse, each within a bound. A part
 * that does not stop in time is left behind with a warning: the process ends anyway.
 */
export class Lifecycle {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #running: Stopper[] = [];
  #stopped: Promise<void> | undefined;

  constructor(deps: { log: Logger; clock: Clock }) {
    this.#log = deps.log;
    this.#clock = deps.clock;
  }

  /**
   * Starts a part and gives what its `start` gave. When that fails, or takes longer than its bound (START_TIMEOUT), the parts
   * before it are stopped and the error comes through. Rejects with STOPPING once `stop` was called.
   */
  async start<T>(part: Part<T>): Promise<T> {
    try {
      if (this.#stopped) throw new AlreadyStopping({ part: part.name });
      const started = await this.#startInTime(part);
      if (this.#stopped) {
        await this.#stopInTime(this.#stopperOf(part, started));
        throw new AlreadyStopping({ part: part.name });
      }
      this.#running.push(this.#stopperOf(part, started));
      return started;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Stops every part that runs, the last one first. Never rejects; more calls get the same promise. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll();
    return this.#stopped;
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#running.toReversed().map((part) => this.#release(part)));
    for (let last = this.#running.pop(); last; last = this.#running.pop()) await this.#stopInTime(last);
  }

  async #startInTime<T>(part: Part<T>): Promise<T> {
    const boundMs = part.startBoundMs ?? START_BOUND_MS;
    const starting = part.start();
    const late = Symbol('late');
    const first = await this.#within(boundMs, starting, late);
    if (first !== late) return first as T;
    // It may still come up: what it took is then given back.
    starting.then(
      (started) => this.#stopInTime(this.#stopperOf(part, started)),
      (error: unknown) =>
        this.#log.warn({ code: 'START_FAILED', part: part.name, todo: LOOK_ABOVE }, describeError(error)),
    );
    throw new PartStartTimeout({ part: part.name, boundMs });
  }

  async #release({ name, boundMs, release }: Stopper): Promise<void> {
    try {
      await this.#within(boundMs, Promise.resolve(release()), Symbol('late'));
    } catch (error) {
      this.#log.warn(
        { code: 'STOP_FAILED', part: name, todo: HARMLESS },
        `${name} did not let go well: ${describeError(error)}`,
      );
    }
  }

  async #stopInTime({ name, boundMs, stop }: Stopper): Promise<void> {
    const late = Symbol('late');
    try {
      const first = await this.#within(boundMs, stop(), late);
      if (first === late) {
        this.#log.warn(
          { code: 'STOP_TIMEOUT', part: name, todo: HARMLESS },
          `${name} did not stop within ${boundMs} ms, and is left behind`,
        );
      }
    } catch (error) {
      this.#log.warn(
        { code: 'STOP_FAILED', part: name, todo: HARMLESS },
        `${name} did not stop well: ${describeError(error)}`,
      );
    }
  }

  #stopperOf<T>(part: Part<T>, started: T): Stopper {
    const boundMs = part.stopBoundMs ?? STOP_BOUND_MS;
    return {
      name: part.name,
      boundMs,
      release: () => part.release?.(started),
      stop: async () => part.stop(started),
    };
  }

  /** What `work` gives, or `late` after the bound. The timer holds no process up. */
  async #within<T>(boundMs: number, work: Promise<T>, late: symbol): Promise<T | symbol> {
    let cancel = () => {};
    const bound = new Promise<symbol>((resolve) => {
      cancel = this.#clock.after(boundMs, () => resolve(late));
    });
    try {
      return await Promise.race([work, bound]);
    } finally {
      cancel();
    }
  }
}
