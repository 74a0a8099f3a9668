import type { PeerId } from './events.ts';
import type { Arrival } from './member.ts';
import type { ConnectionId } from './roster-events.ts';

/** How long the older one of two peers with the same id has to answer. */
export const PING_MS = 1000;

interface Waiting {
  readonly arrival: Arrival;
  pingedAt: number;
}

/** Second proxies with an id that is taken, one for each id: each waits until the first has answered, or has not. */
export class Duplicates {
  readonly #waiting = new Map<PeerId, Waiting>();

  has(peer: PeerId): boolean {
    return this.#waiting.has(peer);
  }

  /** The one with its id is asked now whether it is still there. */
  add(arrival: Arrival, now: number): void {
    this.#waiting.set(arrival.registration.peer, { arrival, pingedAt: now });
  }

  /** Who waits for the place of that peer waits no more. */
  take(peer: PeerId): Arrival | undefined {
    // Asked at each word of each peer.
    if (this.#waiting.size === 0) return undefined;
    const waiting = this.#waiting.get(peer);
    this.#waiting.delete(peer);
    return waiting?.arrival;
  }

  /** One of those that wait is gone itself. */
  closed(connection: ConnectionId): void {
    for (const [peer, { arrival }] of this.#waiting) {
      if (arrival.connection === connection) this.#waiting.delete(peer);
    }
  }

  /** Ids for which the older one has had its time. They may be taken meanwhile. */
  *unanswered(now: number): Generator<PeerId> {
    for (const [peer, { pingedAt }] of this.#waiting) if (now - pingedAt >= PING_MS) yield peer;
  }

  /** Nothing could be heard for so long. */
  paused(ms: number): void {
    for (const waiting of this.#waiting.values()) waiting.pingedAt += ms;
  }
}
