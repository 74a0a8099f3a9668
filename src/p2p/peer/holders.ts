import type { PeerTarget, PieceFailure } from '../protocol/coordinator.ts';

/** Failures of a holder in a row after which it is left for good. */
export const MAX_STRIKES = 6;
/** After a failure a holder is left alone for this long, twice as long after each further one, ... */
export const FIRST_REST_MS = 250;
/** ... and at most so long. */
export const MAX_REST_MS = 4000;

interface Holder {
  readonly target: PeerTarget;
  /** Failures since the last piece that it gave. */
  strikes: number;
  /** Infinity: until it gives what it was asked for. */
  restsUntil: number;
  /** It has failed, or is slow: not asked as long as the origin gives. */
  isDoubtful: boolean;
}

/** The peers that have said that they have the whole of one blob, and how they keep their word. */
export class Holders {
  readonly #holders = new Map<string, Holder>();
  /** Peers that gave something else than was asked for. */
  readonly #banned = new Set<string>();

  add(target: PeerTarget): void {
    if (this.#banned.has(target.peer) || this.#holders.has(target.peer)) return;
    this.#holders.set(target.peer, { target, strikes: 0, restsUntil: 0, isDoubtful: false });
  }

  get isEmpty(): boolean {
    return this.#holders.size === 0;
  }

  /** Ids of those that need not be asked any more. */
  get settled(): ReadonlySet<string> {
    return new Set([...this.#banned, ...this.#holders.keys()]);
  }

  /** Who may best be asked for a piece now; with `isLastResort` doubtful ones too. */
  usable(now: number, isLastResort: boolean): PeerTarget[] {
    const rested = [...this.#holders.values()].filter(
      ({ restsUntil, isDoubtful }) => restsUntil <= now && (isLastResort || !isDoubtful),
    );
    const fewest = Math.min(...rested.map(({ strikes }) => strikes));
    return rested.filter(({ strikes }) => strikes === fewest).map(({ target }) => target);
  }

  /** When the next one has rested; Infinity: none rests. */
  restedAt(now: number): number {
    return Math.min(...[...this.#holders.values()].map(({ restsUntil }) => restsUntil).filter((at) => at > now));
  }

  gave(peer: string): void {
    const holder = this.#holders.get(peer);
    if (!holder) return;
    holder.strikes = 0;
    holder.restsUntil = 0;
  }

  /** It takes too long: it is asked for no more before it has given what it was asked for, or failed. */
  isSlow(peer: string): void {
    const holder = this.#holders.get(peer);
    if (holder) Object.assign(holder, { isDoubtful: true, restsUntil: Number.POSITIVE_INFINITY });
  }

  /** `busy` is no fault, but it rests; who has no longer what it had, or gives something else, is left. */
  failed(peer: string, reason: PieceFailure, now: number): void {
    const holder = this.#holders.get(peer);
    if (!holder) return;
    if (reason === 'bad') this.#banned.add(peer);
    if (reason === 'bad' || reason === 'gone') {
      this.#holders.delete(peer);
      return;
    }
    if (reason !== 'busy') holder.isDoubtful = true;
    // What was under way with it when it failed fails with it, and counts once.
    if (now < holder.restsUntil && Number.isFinite(holder.restsUntil)) return;
    holder.strikes += 1;
    holder.restsUntil = now + Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** (holder.strikes - 1));
    if (holder.strikes >= MAX_STRIKES) this.#holders.delete(peer);
  }
}
