/*
 * The coordinator of a proxy that has no supernode, but has known other proxies.
 *
 * It asks them directly who has the blob, and fetches its pieces from those who do; what none of them gives comes from the
 * origin, as for a proxy that is alone altogether. It waits for their answers only a moment, and not at all where there is
 * nobody to ask: then the origin is read, and holders found later take over what its read has not reached.
 */
import type { Clock } from '../../base/clock.ts';
import { silentLogger, type Logger } from '../../base/log.ts';
import type { Assignment, Coordinator, Ticket, Want } from '../protocol/coordinator.ts';
import { NeighbourTicket } from './neighbour-ticket.ts';
import type { Neighbours } from './neighbours.ts';

/** Pieces on their way from peers at the same time, over all blobs: as under a supernode. */
export const MAX_FETCHES = 4;
/** One more is kept for blobs of one piece. */
export const MAX_FETCHES_ONE_PIECE = MAX_FETCHES + 1;

/** What tickets share. */
export interface NeighbourHost {
  readonly neighbours: Neighbours;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** The ticket could fetch: it is told to (`fetchNext`) when a slot is free, once a slot. */
  hungry(ticket: NeighbourTicket): void;
  /** A fetch from the peer has begun, or is over. */
  begun(peer: string): void;
  over(peer: string): void;
  /** Fetches from a peer that are under way. */
  loadOf(peer: string): number;
  closed(ticket: NeighbourTicket): void;
}

export class NeighbourCoordinator implements Coordinator, NeighbourHost {
  readonly neighbours: Neighbours;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly #hungry = new Set<NeighbourTicket>();
  readonly #loads = new Map<string, number>();
  #fetches = 0;
  #isDue = false;

  constructor(options: { neighbours: Neighbours; clock: Clock; log?: Logger; random?: () => number }) {
    this.neighbours = options.neighbours;
    this.clock = options.clock;
    this.log = options.log ?? silentLogger;
    this.random = options.random ?? Math.random;
  }

  want(want: Want, listener: (assignment: Assignment) => void): Ticket {
    return new NeighbourTicket(this, want, listener);
  }

  // --- what tickets say ---

  hungry(ticket: NeighbourTicket): void {
    this.#hungry.add(ticket);
    this.#dispatchSoon();
  }

  begun(peer: string): void {
    this.#fetches += 1;
    this.#loads.set(peer, this.loadOf(peer) + 1);
  }

  over(peer: string): void {
    this.#fetches -= 1;
    const load = this.loadOf(peer) - 1;
    if (load > 0) this.#loads.set(peer, load);
    else this.#loads.delete(peer);
    this.#dispatchSoon();
  }

  loadOf(peer: string): number {
    return this.#loads.get(peer) ?? 0;
  }

  closed(ticket: NeighbourTicket): void {
    this.#hungry.delete(ticket);
  }

  /** Put off, so that no assignment comes from within a call. */
  #dispatchSoon(): void {
    if (this.#isDue || this.#hungry.size === 0) return;
    this.#isDue = true;
    queueMicrotask(() => {
      this.#isDue = false;
      this.#dispatch();
    });
  }

  /** A free slot goes to the blob with the fewest pieces on their way. */
  #dispatch(): void {
    for (let ticket = this.#next(); ticket; ticket = this.#next()) {
      if (!ticket.fetchNext()) this.#hungry.delete(ticket);
    }
  }

  #next(): NeighbourTicket | undefined {
    let next: NeighbourTicket | undefined;
    for (const ticket of this.#hungry) {
      if (this.#fetches >= (ticket.isOnePiece ? MAX_FETCHES_ONE_PIECE : MAX_FETCHES)) continue;
      if (!next || ticket.fetches < next.fetches) next = ticket;
    }
    return next;
  }
}
