import type { Assignment, PeerTarget } from '../protocol/coordinator.ts';
import { BRIDGE_FETCHES, type Bridge } from './bridge.ts';

/** Peers that gave pieces of the blob, as far as they are remembered. */
const MAX_GIVERS = 16;

export type Fetch = Assignment & { readonly kind: 'fetch' };

/**
 * The pieces of one ticket that are on their way from peers, and the peers that were to give pieces last; `listener` is told what
 * to fetch. A fetch of its own was not assigned by a supernode. Where a supernode assigns the same piece meanwhile it is not
 * broken off: what was assigned takes its turn should it not bring the piece.
 */
export class TicketFetches {
  readonly #listener: (assignment: Assignment) => void;
  readonly #pieces = new Set<number>();
  /** Those of its own; with what the supernode has assigned since, should they not come. */
  readonly #own = new Map<number, Fetch | undefined>();
  /** Who was to give pieces of it last, and did not fail; the latest last. */
  readonly #givers = new Map<string, PeerTarget>();
  #closed = false;

  constructor(listener: (assignment: Assignment) => void) {
    this.#listener = listener;
  }

  /** On their way. */
  get pieces(): ReadonlySet<number> {
    return this.#pieces;
  }

  /** Peers that were named as ones to fetch from and have not failed, the last one first. */
  get givers(): PeerTarget[] {
    return [...this.#givers.values()].toReversed();
  }

  /** By the supernode. */
  assigned(fetch: Fetch): void {
    if (this.#own.has(fetch.piece)) this.#own.set(fetch.piece, fetch);
    else this.#begin(fetch);
  }

  /** By the ticket itself, while it is alone. */
  own(fetch: Fetch): void {
    this.#own.set(fetch.piece, undefined);
    this.#begin(fetch);
  }

  /** Asks the givers for what `bridge` says now; `missing`: the pieces that are not here, the most urgent first. */
  bridge(bridge: Bridge, missing: () => Iterable<number>, now: number): void {
    while (this.#own.size < BRIDGE_FETCHES) {
      const next = bridge.next(this.#unclaimed(missing()), this.givers, now);
      if (!next) return;
      this.#own.set(next.piece, undefined);
      this.soon({ kind: 'fetch', ...next, crc32: undefined });
    }
  }

  /** Counts as begun, but is put off: for within a call. */
  soon(fetch: Fetch): void {
    this.#pieces.add(fetch.piece);
    queueMicrotask(() => {
      if (!this.#closed) this.#begin(fetch);
    });
  }

  /** The piece is here, whichever way it came. */
  came(piece: number): void {
    this.#pieces.delete(piece);
    this.#own.delete(piece);
  }

  /** The piece has not come. What the supernode has assigned in its stead; undefined: nothing. */
  failed(piece: number, from: string): Fetch | undefined {
    const next = this.#own.get(piece);
    this.#pieces.delete(piece);
    this.#own.delete(piece);
    // Where it was to come from the same peer, the supernode learns of the failure.
    return next?.from.peer === from ? undefined : next;
  }

  /** The peer has failed, and is a giver no more. */
  forget(peer: string): void {
    this.#givers.delete(peer);
  }

  /** Nothing more is told. */
  close(): void {
    this.#closed = true;
  }

  #begin(fetch: Fetch): void {
    const { piece, from } = fetch;
    this.#pieces.add(piece);
    this.#givers.delete(from.peer);
    this.#givers.set(from.peer, from);
    if (this.#givers.size > MAX_GIVERS) this.#givers.delete(this.#givers.keys().next().value!);
    this.#listener(fetch);
  }

  /** Missing pieces that are not on their way from a peer either. */
  *#unclaimed(missing: Iterable<number>): Generator<number> {
    for (const piece of missing) if (!this.#pieces.has(piece)) yield piece;
  }
}
