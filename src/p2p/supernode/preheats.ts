import { createHash } from 'node:crypto';
import type { CodedError } from '../../base/errors.ts';
import type { Digest } from '../../base/digest.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import type { PeerId } from './events.ts';
import {
  PreheatBusy,
  PreheatCancelled,
  PreheatNoPeers,
  PreheatPeerLeft,
  PreheatPeerRestarts,
  PreheatTimeout,
  PreheatTooFewPeers,
} from './preheat-errors.ts';

/** Orders under way at the same time. */
export const MAX_RUNNING_ORDERS = 16;
/** Orders that are remembered, and the shares of peers in all of them; the oldest that are over go first. */
export const MAX_ORDERS = 100;
const MAX_SHARES = 50_000;
/** Peers that are asked, one after the other, what a tag stands for. */
const MAX_LEADERS = 3;
/** How long one of them has, before the next is asked too, in milliseconds. */
export const LEAD_MS = 30_000;
/** How long a peer that has left may stay away, in milliseconds: a restart of its process, or of the network. */
export const LEFT_GRACE_MS = 60_000;
/** A peer that was started anew so often while it had an order gets it no more. */
export const MAX_RESTARTS = 3;
/** Their failure says something of the order itself: to ask another peer would bring the same. */
const OF_THE_ORDER: ReadonlySet<string> = new Set(['PREHEAT_IMAGE_INVALID', 'PREHEAT_PLATFORM_INVALID']);

export interface PreheatRequest {
  readonly image: string;
  /** Only peers of this zone; undefined: of any. */
  readonly zone: string | undefined;
  /** So many of them; undefined: all. */
  readonly peers: number | undefined;
  /** None: each peer's own. */
  readonly platforms: readonly string[];
  readonly timeoutMs: number;
}

/** A peer that may be chosen. */
export interface PreheatCandidate {
  readonly peer: PeerId;
  readonly instance: string;
  readonly host: string;
  readonly zone: string;
  readonly isReady: boolean;
}

export interface PreheatFailure {
  readonly code: string;
  readonly message: string;
  readonly todo: string;
}

/** `waiting`: it has not been told yet; `left`: it is away, and may come back. */
export type ShareState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled' | 'left';

/** One peer's part in an order. */
export interface Share {
  readonly peer: PeerId;
  readonly host: string;
  readonly zone: string;
  instance: string;
  state: ShareState;
  /** When it came into this state, on the caller's clock. */
  since: number;
  /** Why it is away. */
  reason: string;
  restarts: number;
  blobs: number;
  blobsHere: number;
  bytes: number;
  bytesHere: number;
  failure: PreheatFailure | undefined;
}

export interface Order {
  readonly id: string;
  readonly request: PreheatRequest;
  readonly at: number;
  readonly deadline: number;
  finishedAt: number | undefined;
  digest: Digest | undefined;
  readonly shares: ReadonlyMap<PeerId, Share>;
}

class OpenOrder implements Order {
  finishedAt: number | undefined;
  digest: Digest | undefined;
  /** Who finds out what the tag stands for, how many have been asked, and when the last was. */
  leader: PeerId | undefined;
  leaders = 0;
  ledAt = 0;
  readonly shares: Map<PeerId, Share>;
  readonly id: string;
  readonly request: PreheatRequest;
  readonly at: number;

  constructor(id: string, request: PreheatRequest, at: number, chosen: readonly PreheatCandidate[]) {
    this.id = id;
    this.request = request;
    this.at = at;
    this.shares = new Map(chosen.map((candidate) => [candidate.peer, shareOf(candidate, at)]));
  }

  get deadline(): number {
    return this.at + this.request.timeoutMs;
  }
}

/** What is to be said to a peer, if it has a session. False: it has none. */
type Say = (peer: PeerId, message: Message<FromSupernode, 'preheat' | 'cancel'>) => boolean;

/**
 * Orders to fetch an image, and how each peer stands with it. One peer finds out what the tag stands for; all others are told the
 * digest, so that all fetch the same. No sockets, no timers: it is told what happens, and the time. Soft state: with the
 * supernode's life its orders are gone, and what peers have begun they finish for themselves.
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
    const order = new OpenOrder(id, request, now, choose(request, candidates));
    this.#orders.set(id, order);
    this.#forget();
    this.#lead(order, now);
    return order;
  }

  /** Ends an order: who is not done with it is told. One that is over stays as it is. Undefined: it is not known. */
  cancel(id: string, now: number): Order | undefined {
    const order = this.#orders.get(id);
    if (!order || order.finishedAt !== undefined) return order;
    const failure = failureOf(new PreheatCancelled({}));
    for (const share of order.shares.values()) {
      if (isOver(share)) continue;
      if (share.state === 'running') this.#say(share.peer, { t: 'cancel', id });
      share.failure = failure;
      move(share, 'cancelled', now);
    }
    this.#finish(order, now);
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
    for (const order of this.#running()) {
      const share = order.shares.get(peer);
      if (!share || isOver(share)) continue;
      if (share.instance !== instance) {
        share.instance = instance;
        share.restarts += 1;
        if (share.restarts > MAX_RESTARTS) {
          this.#fail(order, share, failureOf(new PreheatPeerRestarts({ times: share.restarts })), now);
          this.#finish(order, now);
          continue;
        }
      }
      if (share.state === 'left') move(share, 'waiting', now);
      if (order.digest !== undefined || order.leader === peer) this.#tell(order, share, now);
      else if (order.leader === undefined) this.#lead(order, now);
    }
  }

  /** A peer has left, or is not heard of. */
  gone(peer: PeerId, reason: string, now: number): void {
    for (const order of this.#running()) {
      const share = order.shares.get(peer);
      if (!share || isOver(share)) continue;
      share.reason = reason;
      move(share, 'left', now);
      this.#leadOn(order, undefined, now);
      this.#finish(order, now);
    }
  }

  /** What a peer says of its part. Of an order that is not known, or that it has no part in: nothing happens. */
  told(peer: PeerId, message: Message<FromProxy, 'preheating'>, now: number): void {
    const order = this.#orders.get(message.id);
    const share = order?.shares.get(peer);
    const { state, digest, failure } = message;
    // It was away when the order was cancelled, or the two have crossed.
    if (share?.state === 'cancelled' && state === 'running') this.#say(peer, { t: 'cancel', id: message.id });
    if (!order || !share || isOver(share)) return;
    if (digest !== undefined && order.digest !== undefined && digest !== order.digest) {
      // The tag was moved between two leaders' questions.
      this.#tell(order, share, now);
      return;
    }
    const { blobs, blobsHere, bytes, bytesHere } = message;
    Object.assign(share, { blobs, blobsHere, bytes, bytesHere });
    const isNews = digest !== undefined && order.digest === undefined;
    if (isNews) order.digest = digest;
    if (state === 'failed') {
      const why = failure ?? { code: 'UNKNOWN', message: 'it did not say why', todo: 'see the log of that peer' };
      this.#fail(order, share, why, now);
    } else move(share, state, now);
    if (isNews) for (const other of order.shares.values()) if (other.state === 'waiting') this.#tell(order, other, now);
    this.#finish(order, now);
  }

  /** Time has passed. */
  tick(now: number): void {
    for (const order of this.#running()) {
      const isLate = now >= order.deadline;
      for (const share of order.shares.values()) {
        if (isOver(share)) continue;
        if (share.state === 'left' && (isLate || now - share.since >= LEFT_GRACE_MS)) {
          const seconds = Math.round((now - share.since) / 1000);
          this.#fail(order, share, failureOf(new PreheatPeerLeft({ reason: share.reason, seconds })), now);
        } else if (isLate) {
          this.#fail(order, share, failureOf(new PreheatTimeout({ seconds: order.request.timeoutMs / 1000 })), now);
        }
      }
      if (order.finishedAt === undefined && order.digest === undefined && now - order.ledAt >= LEAD_MS) {
        if (order.leaders < MAX_LEADERS) this.#lead(order, now);
      }
      this.#finish(order, now);
    }
  }

  *#running(): Generator<OpenOrder> {
    for (const order of this.#orders.values()) if (order.finishedAt === undefined) yield order;
  }

  /** The next peer is asked what the tag stands for. */
  #lead(order: OpenOrder, now: number): void {
    order.leader = undefined;
    for (const share of order.shares.values()) {
      if (share.state !== 'waiting' || !this.#tell(order, share, now)) continue;
      order.leader = share.peer;
      order.leaders += 1;
      order.ledAt = now;
      return;
    }
  }

  /** Somebody who was to find out has failed, or is gone: another one is asked, or all are told why not. */
  #leadOn(order: OpenOrder, failure: PreheatFailure | undefined, now: number): void {
    if (order.digest !== undefined) return;
    const isHopeless = failure !== undefined && OF_THE_ORDER.has(failure.code);
    if (!isHopeless && [...order.shares.values()].some(({ state }) => state === 'running')) return;
    if (!isHopeless && (failure === undefined || order.leaders < MAX_LEADERS)) {
      this.#lead(order, now);
      return;
    }
    for (const share of order.shares.values()) {
      if (isOver(share)) continue;
      share.failure = failure;
      move(share, 'failed', now);
    }
  }

  #tell(order: OpenOrder, share: Share, now: number): boolean {
    const { id, digest, request } = order;
    const { image, platforms } = request;
    const timeoutMs = Math.max(0, Math.round(order.deadline - now));
    const about = { id, image, platforms: [...platforms], timeoutMs, ...(digest && { digest }) };
    if (!this.#say(share.peer, { t: 'preheat', ...about })) return false;
    if (share.state === 'waiting') move(share, 'running', now);
    return true;
  }

  #fail(order: OpenOrder, share: Share, failure: PreheatFailure, now: number): void {
    share.failure = failure;
    move(share, 'failed', now);
    this.#leadOn(order, failure, now);
  }

  #finish(order: OpenOrder, now: number): void {
    if (order.finishedAt === undefined && [...order.shares.values()].every(isOver)) order.finishedAt = now;
  }

  #forget(): void {
    let shares = 0;
    for (const order of this.#orders.values()) shares += order.shares.size;
    for (const order of this.#orders.values()) {
      if (this.#orders.size <= MAX_ORDERS && shares <= MAX_SHARES) return;
      if (order.finishedAt === undefined) continue;
      this.#orders.delete(order.id);
      shares -= order.shares.size;
    }
  }
}

export type OrderState = 'running' | 'done' | 'failed' | 'cancelled';

/** Once all are over: `cancelled` where that was the end of any peer's part, `failed` where any has failed. */
export function stateOf(order: Order): OrderState {
  if (order.finishedAt === undefined) return 'running';
  const states = new Set(Array.from(order.shares.values(), ({ state }) => state));
  return states.has('cancelled') ? 'cancelled' : states.has('failed') ? 'failed' : 'done';
}

/** Those that others can fetch from come first; then always the same ones for an image, so that an order again finds it there. */
function choose({ image, zone, peers }: PreheatRequest, candidates: readonly PreheatCandidate[]): PreheatCandidate[] {
  const there = candidates.filter((candidate) => zone === undefined || candidate.zone === zone);
  if (there.length === 0) throw new PreheatNoPeers({ zone });
  const wanted = peers ?? there.length;
  if (there.length < wanted) throw new PreheatTooFewPeers({ wanted, there: there.length });
  const rankOf = ({ peer }: PreheatCandidate) => createHash('sha256').update(`${image}\0${peer}`).digest('hex');
  const ranked = there.map((candidate) => ({ candidate, rank: rankOf(candidate) }));
  ranked.sort((a, b) => Number(b.candidate.isReady) - Number(a.candidate.isReady) || (a.rank < b.rank ? -1 : 1));
  return ranked.slice(0, wanted).map(({ candidate }) => candidate);
}

function shareOf({ peer, instance, host, zone }: PreheatCandidate, since: number): Share {
  const nothing = { blobs: 0, blobsHere: 0, bytes: 0, bytesHere: 0 };
  return {
    peer,
    instance,
    host,
    zone,
    state: 'waiting',
    since,
    reason: '',
    restarts: 0,
    failure: undefined,
    ...nothing,
  };
}

function move(share: Share, state: ShareState, now: number): void {
  if (share.state === state) return;
  share.state = state;
  share.since = now;
  if (state !== 'left') share.reason = '';
}

function isOver({ state }: Share): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

function failureOf(error: CodedError): PreheatFailure {
  return { code: error.code, message: error.message, todo: error.todo };
}
