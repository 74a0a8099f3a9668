import type { Digest } from '../../base/digest.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import type { PeerId } from './events.ts';
import type { PreheatCandidate } from './preheat-choice.ts';
import { PreheatCancelled, PreheatPeerLeft, PreheatPeerRestarts, PreheatTimeout } from './preheat-errors.ts';
import { failureOf, isOver, move, shareOf, type PreheatFailure, type Share } from './preheat-share.ts';

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

/** What can be read of an order. */
export interface Order {
  readonly id: string;
  readonly request: PreheatRequest;
  readonly at: number;
  readonly deadline: number;
  readonly finishedAt: number | undefined;
  /** What the tag stands for, once a peer has found it out. */
  readonly digest: Digest | undefined;
  readonly shares: ReadonlyMap<PeerId, Share>;
}

export type OrderState = 'running' | 'done' | 'failed' | 'cancelled';

/** Once all are over: `cancelled` where that was the end of any peer's part, `failed` where any has failed. */
export function stateOf({ finishedAt, shares }: Pick<Order, 'finishedAt' | 'shares'>): OrderState {
  if (finishedAt === undefined) return 'running';
  const states = new Set(Array.from(shares.values(), ({ state }) => state));
  return states.has('cancelled') ? 'cancelled' : states.has('failed') ? 'failed' : 'done';
}

/** What is to be said to a peer, if it has a session. False: it has none. */
export type Say = (peer: PeerId, message: Message<FromSupernode, 'preheat' | 'cancel'>) => boolean;

/**
 * One order to fetch an image, until all its peers are over with it. One of them, the leader, finds out what the tag stands for;
 * the others are told the digest, so that all fetch the same. A pure state machine: what happens and the time go in, what is to
 * be said to peers goes out through `say`.
 */
export class OpenOrder implements Order {
  readonly id: string;
  readonly request: PreheatRequest;
  readonly at: number;
  readonly shares: ReadonlyMap<PeerId, Share>;
  readonly #say: Say;
  #finishedAt: number | undefined;
  #digest: Digest | undefined;
  /** Who finds out what the tag stands for, how many have been asked, and when the last was. */
  #leader: PeerId | undefined;
  #leaders = 0;
  #ledAt = 0;

  /** Nobody is told before `begin`. */
  constructor(id: string, request: PreheatRequest, chosen: readonly PreheatCandidate[], now: number, say: Say) {
    this.id = id;
    this.request = request;
    this.at = now;
    this.shares = new Map(chosen.map((candidate) => [candidate.peer, shareOf(candidate, now)]));
    this.#say = say;
  }

  get deadline(): number {
    return this.at + this.request.timeoutMs;
  }

  get finishedAt(): number | undefined {
    return this.#finishedAt;
  }

  get digest(): Digest | undefined {
    return this.#digest;
  }

  get isRunning(): boolean {
    return this.#finishedAt === undefined;
  }

  begin(now: number): void {
    this.#lead(now);
  }

  /** Who is not done is told; what is over stays as it is. */
  cancel(now: number): void {
    if (!this.isRunning) return;
    const { id } = this;
    const failure = failureOf(new PreheatCancelled({}));
    for (const share of this.#open()) {
      if (share.state === 'running') this.#say(share.peer, { t: 'cancel', id });
      share.failure = failure;
      move(share, 'cancelled', now);
    }
    this.#finish(now);
  }

  /** A peer has a session, maybe another one than before: what it is to do it is told (again). */
  connected(peer: PeerId, instance: string, now: number): void {
    const share = this.#openShareOf(peer);
    if (!share) return;
    if (share.instance !== instance) {
      share.instance = instance;
      share.restarts += 1;
      if (share.restarts > MAX_RESTARTS) {
        this.#fail(share, failureOf(new PreheatPeerRestarts({ times: share.restarts })), now);
        this.#finish(now);
        return;
      }
    }
    if (share.state === 'left') move(share, 'waiting', now);
    if (this.#digest !== undefined || this.#leader === peer) this.#tell(share, now);
    else if (this.#leader === undefined) this.#lead(now);
  }

  /** A peer has left, or is not heard of. */
  gone(peer: PeerId, reason: string, now: number): void {
    const share = this.#openShareOf(peer);
    if (!share) return;
    share.reason = reason;
    move(share, 'left', now);
    this.#leadOn(undefined, now);
    this.#finish(now);
  }

  /** What a peer says of its part; of one that has no part in it: nothing happens. */
  told(peer: PeerId, message: Message<FromProxy, 'preheating'>, now: number): void {
    const { state, digest, failure } = message;
    // It was away when the order was cancelled, or the two have crossed.
    if (this.shares.get(peer)?.state === 'cancelled' && state === 'running')
      this.#say(peer, { t: 'cancel', id: this.id });
    const share = this.#openShareOf(peer);
    if (!share) return;
    if (digest !== undefined && this.#digest !== undefined && digest !== this.#digest) {
      // The tag was moved between two leaders' questions.
      this.#tell(share, now);
      return;
    }
    const { blobs, blobsHere, bytes, bytesHere } = message;
    Object.assign(share, { blobs, blobsHere, bytes, bytesHere });
    const isNews = digest !== undefined && this.#digest === undefined;
    if (isNews) this.#digest = digest;
    if (state === 'failed') {
      const why = failure ?? { code: 'UNKNOWN', message: 'it did not say why', todo: 'see the log of that peer' };
      this.#fail(share, why, now);
    } else move(share, state, now);
    if (isNews) for (const other of this.shares.values()) if (other.state === 'waiting') this.#tell(other, now);
    this.#finish(now);
  }

  /** Time has passed. */
  tick(now: number): void {
    if (!this.isRunning) return;
    const isLate = now >= this.deadline;
    for (const share of this.#open()) {
      if (share.state === 'left' && (isLate || now - share.since >= LEFT_GRACE_MS)) {
        const seconds = Math.round((now - share.since) / 1000);
        this.#fail(share, failureOf(new PreheatPeerLeft({ reason: share.reason, seconds })), now);
      } else if (isLate) {
        this.#fail(share, failureOf(new PreheatTimeout({ seconds: this.request.timeoutMs / 1000 })), now);
      }
    }
    if (this.#digest === undefined && now - this.#ledAt >= LEAD_MS && this.#leaders < MAX_LEADERS) this.#lead(now);
    this.#finish(now);
  }

  /** Shares that are not over; also when each is looked at, for the end of one may bring the end of all. */
  *#open(): Generator<Share> {
    for (const share of this.shares.values()) if (!isOver(share)) yield share;
  }

  #openShareOf(peer: PeerId): Share | undefined {
    const share = this.shares.get(peer);
    return share && !isOver(share) ? share : undefined;
  }

  /** The next peer is asked what the tag stands for. */
  #lead(now: number): void {
    this.#leader = undefined;
    for (const share of this.shares.values()) {
      if (share.state !== 'waiting' || !this.#tell(share, now)) continue;
      this.#leader = share.peer;
      this.#leaders += 1;
      this.#ledAt = now;
      return;
    }
  }

  /** Somebody who was to find out has failed, or is gone: another one is asked, or all are told why not. */
  #leadOn(failure: PreheatFailure | undefined, now: number): void {
    if (this.#digest !== undefined) return;
    const isHopeless = failure !== undefined && OF_THE_ORDER.has(failure.code);
    if (!isHopeless && [...this.shares.values()].some(({ state }) => state === 'running')) return;
    if (!isHopeless && (failure === undefined || this.#leaders < MAX_LEADERS)) {
      this.#lead(now);
      return;
    }
    for (const share of this.#open()) {
      share.failure = failure;
      move(share, 'failed', now);
    }
  }

  #tell(share: Share, now: number): boolean {
    const { id, digest, request } = this;
    const { image, platforms } = request;
    const timeoutMs = Math.max(0, Math.round(this.deadline - now));
    const about = { id, image, platforms: [...platforms], timeoutMs, ...(digest && { digest }) };
    if (!this.#say(share.peer, { t: 'preheat', ...about })) return false;
    if (share.state === 'waiting') move(share, 'running', now);
    return true;
  }

  #fail(share: Share, failure: PreheatFailure, now: number): void {
    share.failure = failure;
    move(share, 'failed', now);
    this.#leadOn(failure, now);
  }

  #finish(now: number): void {
    if (this.#finishedAt === undefined && [...this.shares.values()].every(isOver)) this.#finishedAt = now;
  }
}
