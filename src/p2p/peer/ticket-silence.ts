import { afterSilence } from './after-silence.ts';
import { Bridge } from './bridge.ts';
import type { TicketHost } from './remote-coordinator.ts';

/** Who waits for a word of the supernode: the ticket, as its silence sees it. */
export interface Waiter {
  /** Something is missing, and nothing that is under way will bring it. */
  isIdle(): boolean;
  /** It is a small thing, for which nobody is to wait longer than a moment. */
  isUrgent(): boolean;
  /** Peers that gave pieces until now may have what is missing. */
  mayBridge(): boolean;
  /** Asks for what `bridge` says now, of the peers that gave pieces before. */
  fetchBy(bridge: Bridge): void;
  /** Nobody is waited for any more. */
  goAlone(): void;
}

/**
 * How long a ticket waits for the supernode. While it has nothing to do and something is missing, the supernode has a limited
 * time. Then the peers that gave pieces before are asked for a while, where there are any; after that the ticket goes alone.
 */
export class TicketSilence {
  readonly #host: Pick<TicketHost, 'clock' | 'link' | 'lostAt' | 'silenceMs'>;
  readonly #waiter: Waiter;
  /** Since when it has nothing to do though something is missing, and hears nothing. */
  #since: number | undefined;
  #cancel: (() => void) | undefined;
  #bridge: Bridge | undefined;
  /** The supernode knows of it and has nothing for it yet: it will say so every second. */
  #toldToWait = false;

  constructor(host: Pick<TicketHost, 'clock' | 'link' | 'lostAt' | 'silenceMs'>, waiter: Waiter) {
    this.#host = host;
    this.#waiter = waiter;
  }

  /** Set while the supernode is silent and the peers are asked that gave pieces before. */
  get bridge(): Bridge | undefined {
    return this.#bridge;
  }

  /** The supernode has a word for it. */
  heard(): void {
    this.#bridge = undefined;
    this.#busy();
  }

  /** The supernode has something for it. */
  given(): void {
    this.heard();
    this.#toldToWait = false;
  }

  /** The supernode has nothing for it just now. */
  toldToWait(): void {
    this.heard();
    this.#toldToWait = true;
  }

  /** A supernode is there again: the peers are not asked any more. */
  endBridge(): void {
    this.#bridge = undefined;
  }

  /** A supernode has just been told of the wish: it has its time from now on. */
  joined(): void {
    this.#busy();
    this.#toldToWait = false;
  }

  /** Nobody is waited for: it is alone, or closed. */
  end(): void {
    this.#bridge = undefined;
    this.#busy();
  }

  /** To be called whenever what is here, awaited or under way has changed, but not while the ticket is alone or closed. */
  watch(): void {
    if (this.#bridge) this.#waiter.fetchBy(this.#bridge);
    if (!this.#waiter.isIdle()) {
      this.#busy();
      return;
    }
    const { clock, link, lostAt } = this.#host;
    const now = clock.monotonic();
    this.#since ??= now;
    if (this.#cancel && link) return;
    this.#cancel?.();
    // With no session for so long, nobody is waited for.
    const since = link ? this.#since : Math.min(this.#since, lostAt);
    const left = this.#bridge?.pauseMs(now) ?? since + this.#host.silenceMs(this.#isUrgent) - now;
    if (left <= 0) this.#waiter.goAlone();
    else this.#cancel = afterSilence(clock, left, (wasPaused) => this.#silent(wasPaused));
  }

  /** Who was told to wait waits for the next word: somebody reads it, and all who wait must not read it too. */
  get #isUrgent(): boolean {
    return !this.#toldToWait && this.#waiter.isUrgent();
  }

  #busy(): void {
    this.#since = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** `wasPaused`: the supernode has its time once more. */
  #silent(wasPaused: boolean): void {
    this.#cancel = undefined;
    if (!this.#waiter.isIdle()) return;
    if (wasPaused) {
      this.#since = undefined;
      this.watch();
      return;
    }
    const now = this.#host.clock.monotonic();
    // Most of what is missing is with those who gave pieces until now: all would else read the same of it from the origin.
    if (!this.#bridge && this.#waiter.mayBridge()) this.#bridge = new Bridge(now);
    if (this.#bridge && !this.#bridge.isOver(now)) this.watch();
    else this.#waiter.goAlone();
  }
}
