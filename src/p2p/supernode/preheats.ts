import type { FromProxy, Message } from '../protocol/messages.ts';
import type { PeerId } from './events.ts';
import { choose, type PreheatCandidate } from './preheat-choice.ts';
import { PreheatBusy } from './preheat-errors.ts';
import { OpenOrder, type Order, type PreheatRequest, type Say } from './preheat-order.ts';

export type { PreheatCandidate } from './preheat-choice.ts';
export { LEAD_MS, LEFT_GRACE_MS, MAX_RESTARTS, stateOf, type Order, type PreheatRequest } from './preheat-order.ts';

/** Orders under way at the same time. */
export const MAX_RUNNING_ORDERS = 16;
/** Orders that are remembered, and the shares of peers in all of them; the oldest that are over go first. */
export const MAX_ORDERS = 100;
const MAX_SHARES = 50_000;

/**
 * Orders to fetch an image, those under way and the latest of those that are over. No sockets, no timers: it is told what
 * happens, and the time. Soft state: with the supernode's life its orders are gone, and what peers have begun they finish for
 * themselves.
 */
export class Preheats {
  readonly #say: Say;
  /** The oldest first. */
  readonly #orders = new Map<string, OpenOrder>();

  constructor(say: Say) {
    this.#say = say;
  }

  /** Takes an order. Throws PREHEAT_BUSY, PREHEAT_NO_PEERS, PREHEAT_TOO_FEW_PEERS. */
  order(id: string, request: PreheatRequest, candidates: readonly PreheatCandidate[], now: number): Order {
    const running = [...this.#running()].length;
    if (running >= MAX_RUNNING_ORDERS) throw new PreheatBusy({ running });
    const order = new OpenOrder(id, request, choose(request, candidates), now, this.#say);
    this.#orders.set(id, order);
    this.#forget();
    order.begin(now);
    return order;
  }

  /** Ends an order: who is not done with it is told. One that is over stays as it is. Undefined: it is not known. */
  cancel(id: string, now: number): Order | undefined {
    const order = this.#orders.get(id);
    order?.cancel(now);
    return order;
  }

  find(id: string): Order | undefined {
    return this.#orders.get(id);
  }

  /** The newest first. */
  all(): readonly Order[] {
    return [...this.#orders.values()].reverse();
  }

  /** A peer has a session, maybe another one than before: what it is to do it is told (again). */
  connected(peer: PeerId, instance: string, now: number): void {
    for (const order of this.#running()) order.connected(peer, instance, now);
  }

  /** A peer has left, or is not heard of. */
  gone(peer: PeerId, reason: string, now: number): void {
    for (const order of this.#running()) order.gone(peer, reason, now);
  }

  /** What a peer says of its part. Of an order that is not known, or that it has no part in: nothing happens. */
  told(peer: PeerId, message: Message<FromProxy, 'preheating'>, now: number): void {
    this.#orders.get(message.id)?.told(peer, message, now);
  }

  /** Time has passed. */
  tick(now: number): void {
    for (const order of this.#running()) order.tick(now);
  }

  *#running(): Generator<OpenOrder> {
    for (const order of this.#orders.values()) if (order.isRunning) yield order;
  }

  #forget(): void {
    let shares = 0;
    for (const order of this.#orders.values()) shares += order.shares.size;
    for (const order of this.#orders.values()) {
      if (this.#orders.size <= MAX_ORDERS && shares <= MAX_SHARES) return;
      if (order.isRunning) continue;
      this.#orders.delete(order.id);
      shares -= order.shares.size;
    }
  }
}
