import { backoffMs, type Backoff } from '../../base/backoff.ts';
import { asError } from '../../base/errors.ts';
import type { Clock } from '../../base/clock.ts';
import { SupernodeRefused } from './session-errors.ts';
import { Attempt, type AttemptContext, type AttemptListener } from './supernode-attempt.ts';
import type { Candidate, FindCandidates } from './supernode-dial.ts';
import { faultOfAll } from './supernode-fault.ts';

/** Between two tries of a supernode: short enough that one that comes back is found within seconds. */
export const RETRY: Backoff = { firstMs: 250, capMs: 5000 };
/** So many tries later the waits have reached the cap. */
const TRIES_TO_CAP = 6;
/** Until the next address of a name is tried while those before are unanswered (RFC 8305, 5: the Connection Attempt Delay). */
export const STAGGER_MS = 250;
/** How often it is looked whether a supernode earlier in the list is back; and how long it has to be up without a break. */
const LOOK_BACK_MS = 5000;
const CONFIRM_MS = 5000;
/** What a supernode refuses for the moment only: it is tried again as one that could not be reached. */
const PASSING = new Set(['SHUTTING_DOWN', 'SUPERNODE_FAULT', 'STALE', 'REPLACED', 'OLD_EPOCH']);

export interface LaneListener {
  /** Something has changed: a supernode is held, or one less is waited for. */
  changed(lane: SupernodeLane): void;
  tried(lane: SupernodeLane): void;
  /** Every address has failed, most lately with this. */
  failed(lane: SupernodeLane, error: Error): void;
}

export interface LaneOptions {
  readonly url: string;
  readonly index: number;
  readonly candidates: FindCandidates;
  readonly context: AttemptContext;
  readonly clock: Clock;
  readonly random: () => number;
  readonly listener: LaneListener;
}

/**
 * The tries to reach one supernode of the list, for as long as they are wanted, whatever becomes of the other ones. Its name is
 * resolved anew at each, and all its addresses are tried, each beginning a little after the one before or at once when that has
 * failed. An address that is still unanswered when the next try begins is left to its own time limits.
 */
export class SupernodeLane implements AttemptListener {
  readonly url: string;
  readonly index: number;
  readonly #options: LaneOptions;
  readonly #clock: Clock;
  readonly #attempts = new Map<string, Attempt>();
  /** What the last attempt at each present address came to. */
  readonly #faults = new Map<string, Error>();
  #addresses: readonly string[] = [];
  #queue: Candidate[] = [];
  #mode: 'off' | 'seek' | 'look back' = 'off';
  /** Changes when it is stopped: what was begun before has no effect any more. */
  #turn = 0;
  #isResolving = false;
  #tries = 0;
  /** Where it is only looked: the life of the supernode that was found up. */
  #seenEpoch = '';
  #nextAt = Number.POSITIVE_INFINITY;
  #cancelNext = (): void => undefined;
  #cancelStagger = (): void => undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    this.url = options.url;
    this.index = options.index;
    this.#clock = options.clock;
  }

  /** Its attempts that are under way, in the order of the addresses. */
  get attempts(): readonly Attempt[] {
    return this.#addresses.flatMap((address) => this.#attempts.get(address) ?? []);
  }

  /** Whether the try is still to bring more attempts. */
  get isBeginning(): boolean {
    return this.#isResolving || this.#queue.length > 0;
  }

  /** Looks for the supernode from `afterMs` on, until `stop`. `afresh`: what failed before is no reason to wait longer. */
  seek(afterMs: number, { afresh }: { afresh: boolean }): void {
    this.#mode = 'seek';
    if (afresh) this.#tries = 0;
    const waitMs = this.#tries === 0 ? afterMs : Math.max(afterMs, this.#backoff());
    if (waitMs > 0) this.#schedule(waitMs);
    else this.#try();
  }

  /** Does now what it would begin to do a little later. */
  hurry(): void {
    if (this.#mode === 'seek' && this.#tries === 0 && this.#nextAt < Number.POSITIVE_INFINITY) this.#try();
  }

  /** Looks now and then whether it is back, for as long as there is a session with a later one. */
  lookBack(keep?: 'asked'): void {
    this.stop(keep);
    this.#mode = 'look back';
    this.#schedule(this.#lookBackMs());
  }

  /** `keep`: attempts that have said `hello` go on, as the supernode may have taken them for this proxy's session already. */
  stop(keep?: 'asked'): void {
    this.#mode = 'off';
    this.#turn += 1;
    this.#isResolving = false;
    this.#queue = [];
    this.#seenEpoch = '';
    this.#nextAt = Number.POSITIVE_INFINITY;
    this.#cancelNext();
    this.#cancelStagger();
    for (const attempt of this.attempts) {
      if (attempt.phase === keep) continue;
      attempt.stop();
      this.#attempts.delete(attempt.address);
    }
    this.#faults.clear();
  }

  // --- what attempts say ---

  held(attempt: Attempt): void {
    this.#faults.delete(attempt.address);
    if (this.#mode === 'look back' && this.#seenEpoch !== attempt.epoch) {
      // One that comes and goes is not gone back to: it is to be in the same life when it is looked for again.
      this.#seenEpoch = attempt.epoch;
      this.#breakOff();
      this.#schedule(CONFIRM_MS);
      return;
    }
    this.#options.listener.changed(this);
  }

  opened(attempt: Attempt): void {
    this.#attempts.delete(attempt.address);
  }

  failed({ address }: Attempt, error: Error): void {
    this.#attempts.delete(address);
    this.#faults.set(address, error);
    if (error instanceof SupernodeRefused && !PASSING.has(error.code)) this.#ease();
    this.#cancelStagger();
    this.#beginNext();
    const faults = this.#addresses.map((known) => this.#faults.get(known));
    if (faults.every((fault) => fault !== undefined)) this.#fail(faultOfAll(faults));
    this.#options.listener.changed(this);
  }

  #fail(error: Error): void {
    this.#seenEpoch = '';
    this.#options.listener.failed(this, error);
  }

  // --- its own course ---

  #try(): void {
    this.#tries += 1;
    this.#schedule(this.#mode === 'seek' ? this.#backoff() : this.#lookBackMs());
    this.#options.listener.tried(this);
    if (!this.#isResolving) void this.#resolve(this.#turn);
  }

  async #resolve(turn: number): Promise<void> {
    this.#isResolving = true;
    let candidates: readonly Candidate[];
    try {
      candidates = await this.#options.candidates(this.url);
      if (candidates.length === 0) throw new Error('it has no address');
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#isResolving = false;
      // What is under way to addresses that it had goes on.
      if (this.#attempts.size === 0) this.#fail(asError(error));
      this.#options.listener.changed(this);
      return;
    }
    if (turn !== this.#turn) return;
    this.#isResolving = false;
    const addresses = candidates.map(({ address }) => address);
    const moved = [...this.#attempts.keys()].filter((address) => !addresses.includes(address));
    this.#addresses = [...addresses, ...moved];
    for (const address of this.#faults.keys()) if (!addresses.includes(address)) this.#faults.delete(address);
    this.#queue = candidates.filter(({ address }) => !this.#attempts.has(address));
    this.#cancelStagger();
    this.#beginNext();
    this.#options.listener.changed(this);
  }

  /** Begins with the next address, and after a while with the one after. */
  #beginNext(): void {
    const candidate = this.#queue.shift();
    if (!candidate) return;
    this.#attempts.set(candidate.address, new Attempt(candidate, this.#options.context, this));
    if (this.#queue.length === 0) return;
    this.#cancelStagger = this.#clock.after(STAGGER_MS, () => this.#beginNext());
  }

  /** Ends this try, and waits for the next. */
  #breakOff(): void {
    this.#queue = [];
    this.#cancelStagger();
    for (const attempt of this.#attempts.values()) attempt.stop();
    this.#attempts.clear();
  }

  /** Who was refused is not to ask at once again. */
  #ease(): void {
    this.#tries = Math.max(this.#tries, TRIES_TO_CAP);
    if (this.#mode === 'seek' && this.#nextAt - this.#clock.monotonic() < RETRY.capMs / 2) {
      this.#schedule(this.#backoff());
    }
  }

  #backoff(): number {
    return backoffMs(RETRY, Math.max(0, this.#tries - 1), this.#options.random);
  }

  #lookBackMs(): number {
    return LOOK_BACK_MS * (0.5 + this.#options.random());
  }

  #schedule(ms: number): void {
    this.#cancelNext();
    this.#nextAt = this.#clock.monotonic() + ms;
    this.#cancelNext = this.#clock.after(ms, () => this.#try());
  }
}
