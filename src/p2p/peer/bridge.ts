import type { PeerTarget } from '../protocol/coordinator.ts';

/** While the supernode is silent, the peers that gave pieces before are asked for so long before the origin is read. */
export const BRIDGE_MS = 2000;
/** Pieces that are asked for at the same time. */
export const BRIDGE_FETCHES = 2;
/** Missing pieces that are looked at, the most urgent first. */
export const BRIDGE_PIECES = 32;
/** A peer that has not a piece may have it a little later. */
export const LACKS_MS = 500;

/**
 * Which piece is asked of which peer while the supernode is silent. Each peer that gave pieces has others too, but nobody says
 * which: it is asked, and says 404 (`gone`) at once where it has not. Times are of the clock that never jumps.
 */
export class Bridge {
  readonly #endsAt: number;
  readonly #lacking = new Map<number, Map<string, number>>();

  constructor(now: number) {
    this.#endsAt = now + BRIDGE_MS;
  }

  isOver(now: number): boolean {
    return now >= this.#endsAt;
  }

  /** With nothing to ask for now, when to look again. */
  pauseMs(now: number): number {
    return Math.min(LACKS_MS, this.#endsAt - now);
  }

  /** Undefined: no peer is left that might have one of the first missing pieces, or the time is over. */
  next(
    missing: Iterable<number>,
    givers: readonly PeerTarget[],
    now: number,
  ): { readonly piece: number; readonly from: PeerTarget } | undefined {
    if (this.isOver(now)) return undefined;
    let looked = 0;
    for (const piece of missing) {
      const lacking = this.#lacking.get(piece);
      const from = givers.find(({ peer }) => (lacking?.get(peer) ?? Number.NEGATIVE_INFINITY) <= now);
      if (from) return { piece, from };
      looked += 1;
      if (looked === BRIDGE_PIECES) break;
    }
    return undefined;
  }

  /** The peer does not give the piece. */
  lacks(piece: number, peer: string, now: number): void {
    const lacking = this.#lacking.get(piece) ?? new Map<string, number>();
    lacking.set(peer, now + LACKS_MS);
    this.#lacking.set(piece, lacking);
  }
}
