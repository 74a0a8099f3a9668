import { readdirSync, readFileSync, statSync } from 'node:fs';
import type { Clock } from './clock.ts';
import { codeOf } from './errors.ts';

const OPEN_DIR = '/proc/self/fd';
const LIMITS_FILE = '/proc/self/limits';

/** What opening or connecting fails with where this process, or the whole system, has no descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  for (let e = error, depth = 0; e instanceof Error && depth < 5; depth += 1, e = e.cause) {
    if (codeOf(e) === 'EMFILE' || codeOf(e) === 'ENFILE') return true;
  }
  return false;
}

/**
 * Descriptors that this process has open; undefined where the system does not say. From Linux 6.2 on the size of the directory
 * is their count, which costs 5 µs whatever it is; before, the directory is read, at half a millisecond for each thousand.
 */
export function openDescriptors(): number | undefined {
  try {
    return statSync(OPEN_DIR).size || readdirSync(OPEN_DIR).length;
  } catch {
    return undefined;
  }
}

/**
 * How many this process may have open, undefined where the system does not say or there is no limit. Node has raised the soft limit
 * to the hard one when it started (`PlatformInit` in its node.cc), so that this is the hard one, but where somebody lowers it later.
 */
export function descriptorLimit(): number | undefined {
  try {
    return parseLimits(readFileSync(LIMITS_FILE, 'latin1'));
  } catch {
    return undefined;
  }
}

/** As `parseLimits`, but that no limit is told from no answer: Infinity. */
export function softOpenFiles(text: string): number | undefined {
  const soft = /^Max open files +(\d+|unlimited) /m.exec(text)?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** The soft limit of open files in the text of `/proc/<pid>/limits` (proc(5)). */
export function parseLimits(text: string): number | undefined {
  const soft = softOpenFiles(text);
  return soft === Number.POSITIVE_INFINITY ? undefined : soft;
}

/** What one client's request may open until its answer begins: the blob and its journal, a connection to the origin, one for its token. */
export const REQUEST_DESCRIPTORS = 4;
/** Kept free for what nobody asks leave for: name look-ups, the API, a session with the supernode, files written in passing. */
const MIN_SPARE = 4;
const MAX_SPARE = 64;
/** Share of the limit that is kept free so, within these bounds. */
const SPARE_SHARE = 0.1;
/** The share of the limit from which on idle connections are closed. */
const RELIEF_SHARE = 0.75;
/** With so many free, a count holds for `COUNT_MS`: a request must not cost more than it takes. */
const PLENTY = 512;
const COUNT_MS = 100;
/** They are closed at most so often. */
const RELIEF_MS = 250;
/** While requests wait, it is looked so often whether there are descriptors for them. */
const LOOK_MS = 50;

export interface DescriptorsOptions {
  readonly clock: Clock;
  /** Closes what is idle. */
  readonly relieve: () => void;
  /** Somebody has to wait, or is refused: with it so many would be open, or about to be. */
  readonly short?: (wanted: number) => void;
  readonly count?: () => number | undefined;
  readonly limit?: () => number | undefined;
}

interface Waiter {
  readonly start: () => void;
}

/**
 * The descriptors of this process, shared out. It must not run out of them: without one libuv closes a new connection at once (it
 * keeps one in reserve for that), and when that one is gone too, it spins on the listening socket while clients hang.
 */
export class Descriptors {
  readonly #clock: Clock;
  readonly #relieve: () => void;
  readonly #short: (wanted: number) => void;
  readonly #count: () => number | undefined;
  readonly #readLimit: () => number | undefined;
  readonly #waiting = new Set<Waiter>();
  #limit: number | undefined;
  #reserved = 0;
  #relievedAt = Number.NEGATIVE_INFINITY;
  #counted: number | undefined;
  #countedAt = Number.NEGATIVE_INFINITY;
  #cancelLook: (() => void) | undefined;

  constructor(options: DescriptorsOptions) {
    this.#clock = options.clock;
    this.#relieve = options.relieve;
    this.#short = options.short ?? (() => undefined);
    this.#count = options.count ?? openDescriptors;
    this.#readLimit = options.limit ?? descriptorLimit;
    this.#limit = this.#readLimit();
  }

  /** Open now. */
  get used(): number | undefined {
    this.#counted = this.#count();
    this.#countedAt = this.#clock.monotonic();
    return this.#counted;
  }

  get limit(): number | undefined {
    return this.#limit;
  }

  /** Requests that wait for descriptors. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Reads the limit anew: an operator may change it (prlimit(1)). */
  refresh(): void {
    this.#limit = this.#readLimit();
  }

  /**
   * Whether one more connection may stay: there must be enough besides for a request on it, and for `spare` more. Where it may
   * not, the next may, for idle ones are closed.
   */
  admitsConnection(spare = 0): boolean {
    return this.#fits(REQUEST_DESCRIPTORS + spare);
  }

  /**
   * Leave for a request to open what it needs: call what it gives as soon as all is open (twice does no harm). Requests that find
   * too few descriptors wait in line. Rejects with the signal's reason.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#waiting.size > 0 || !this.#fits(REQUEST_DESCRIPTORS)) await this.#wait(signal);
    else this.#reserved += REQUEST_DESCRIPTORS;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#reserved -= REQUEST_DESCRIPTORS;
      this.#look();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiter);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        start: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiter);
      this.#lookLater();
    });
  }

  /** Lets those in that there are descriptors for. */
  #look(): void {
    for (const waiter of this.#waiting) {
      if (!this.#fits(REQUEST_DESCRIPTORS)) break;
      this.#waiting.delete(waiter);
      this.#reserved += REQUEST_DESCRIPTORS;
      waiter.start();
    }
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#waiting.size === 0 || this.#cancelLook) return;
    this.#cancelLook = this.#clock.after(LOOK_MS, () => {
      this.#cancelLook = undefined;
      this.#look();
    });
  }

  #fits(more: number): boolean {
    const limit = this.#limit;
    if (limit === undefined) return true;
    const open = this.#openOf(limit);
    if (open === undefined) return true;
    const wanted = open + this.#reserved + more;
    if (wanted > limit * RELIEF_SHARE) this.#relieveNow();
    // One at a time goes on as long as that can work at all.
    if (wanted <= limit - spareOf(limit) || (this.#reserved === 0 && wanted < limit)) return true;
    this.#short(wanted);
    return false;
  }

  #openOf(limit: number): number | undefined {
    const isFresh = this.#clock.monotonic() - this.#countedAt < COUNT_MS;
    return isFresh && this.#counted !== undefined && limit - this.#counted > PLENTY ? this.#counted : this.used;
  }

  #relieveNow(): void {
    const now = this.#clock.monotonic();
    if (now - this.#relievedAt < RELIEF_MS) return;
    this.#relievedAt = now;
    this.#relieve();
  }
}

function spareOf(limit: number): number {
  return Math.min(MAX_SPARE, Math.max(MIN_SPARE, Math.floor(limit * SPARE_SHARE)));
}
