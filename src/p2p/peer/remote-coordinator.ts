/*
 * The coordinator behind a session: what tickets say goes to the supernode, what it assigns comes back.
 *
 * A ticket is either joined (the supernode decides; it knows the ticket by a number that is new for each session) or alone (a
 * `SoloCoordinator` decides). It goes alone where there is no session, where the supernode has been silent for too long while
 * the ticket has nothing to do, and where the supernode says so; it joins again, with all that came meanwhile and the reads
 * that are under way, as soon as the supernode is heard of. Neither change stops a read.
 */
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import type { Assignment, Coordinator, PeerTarget, Ticket, Want } from '../protocol/coordinator.ts';
import { MAX_WISHES } from '../protocol/limits.ts';
import type { FromProxy, FromSupernode, Message } from '../protocol/messages.ts';
import { RemoteTicket } from './remote-ticket.ts';
import type { SessionUser } from './session.ts';

/** After so long without a word the proxy goes on alone. */
export const SILENCE_MS = 2000;
/**
 * The same for a blob of one piece: at least this, and so many times the time of a message and its answer. With 50 ms busy
 * machines read manifests from the origin twice; a supernode that hangs costs each small blob this much.
 */
export const SMALL_SILENCE_MS = 150;
const SMALL_SILENCE_RTTS = 4;
/** Introductions of peers that are remembered; the supernode gives fewer. */
const MAX_INTRODUCED = 20_000;

export type Reports = Message<FromProxy, 'r'>;

/** The session, as the coordinator speaks to it. */
export interface CoordinatorLink {
  readonly epoch: string;
  readonly rttMs: number;
  send(message: FromProxy): void;
}

/** What tickets share. */
export interface TicketHost {
  readonly solo: Coordinator;
  readonly clock: Clock;
  /** The open session; undefined: none. */
  readonly link: CoordinatorLink | undefined;
  /** When the last session ended, on the clock that never jumps. */
  readonly lostAt: number;
  /** A number for a ticket that joins; undefined: the session takes no more. */
  join(ticket: RemoteTicket): number | undefined;
  leave(wish: number): void;
  /** Something is to be sent in this turn of the event loop. */
  dirty(ticket: RemoteTicket): void;
  /** The reports that will be sent in this turn. */
  reports(): Reports;
  /** Sends the reports so far: what follows is to come after them. */
  flushReports(): void;
  /** The number of a peer in this session; -1: it was introduced in another. */
  numberOf(peer: string): number;
  /** How long the supernode may be silent. */
  silenceMs(isSmall: boolean): number;
  closed(ticket: RemoteTicket, digest: Digest): void;
}

export class RemoteCoordinator implements Coordinator, SessionUser, TicketHost {
  readonly solo: Coordinator;
  readonly clock: Clock;
  readonly #onClosed: (digest: Digest) => void;
  readonly #tickets = new Set<RemoteTicket>();
  readonly #joined = new Map<number, RemoteTicket>();
  readonly #dirty = new Set<RemoteTicket>();
  readonly #peers = new Map<number, PeerTarget>();
  readonly #numbers = new Map<string, number>();
  #link: CoordinatorLink | undefined;
  #lostAt = Number.NEGATIVE_INFINITY;
  #lastWish = 0;
  #reports: Reports = { t: 'r' };
  #hasReports = false;
  #isDue = false;

  /** `onClosed`: a ticket for that blob was closed. */
  constructor(options: { solo: Coordinator; clock: Clock; onClosed?: (digest: Digest) => void }) {
    this.solo = options.solo;
    this.clock = options.clock;
    this.#onClosed = options.onClosed ?? (() => undefined);
  }

  want(want: Want, listener: (assignment: Assignment) => void): Ticket {
    const ticket = new RemoteTicket(this, want, listener);
    this.#tickets.add(ticket);
    return ticket;
  }

  // --- the session ---

  opened(link: CoordinatorLink): void {
    this.#forgetSession();
    this.#link = link;
    for (const ticket of this.#tickets) ticket.rejoin();
    this.#flush();
  }

  lost(): void {
    this.#forgetSession();
    this.#lostAt = this.clock.monotonic();
    for (const ticket of this.#tickets) ticket.lost();
  }

  heard(): void {
    if (this.#joined.size === this.#tickets.size) return;
    for (const ticket of this.#tickets) if (ticket.mayRejoin) ticket.rejoin();
  }

  assigned({ p, c, l, f, w, q, h, o, n }: Message<FromSupernode, 'a'>): void {
    for (const [number, peer, instance, addresses] of p ?? []) this.#introduced(number, { peer, instance, addresses });
    for (const [wish, lease, last] of c ?? []) this.#joined.get(wish)?.cut(lease, last);
    for (const [wish, lease, first, count] of l ?? []) this.#joined.get(wish)?.leased(lease, first, count);
    for (const [wish, piece, number, crc] of f ?? []) {
      const from = this.#peers.get(number);
      if (from) this.#joined.get(wish)?.fetch(piece, from, crc < 0 ? undefined : crc);
    }
    for (const wish of w ?? []) this.#joined.get(wish)?.wait();
    for (const [wish, lease, first, count] of q ?? []) this.#joined.get(wish)?.readAgain(lease, first, count);
    for (const [wish, piece, number, sha256] of h ?? [])
      this.#joined.get(wish)?.secondReading(piece, this.#peers.get(number)?.peer, sha256);
    for (const [wish, over] of o ?? []) this.#joined.get(wish)?.disputed(over === 1);
    for (const [wish, alone] of n ?? []) this.#joined.get(wish)?.none(alone === 1);
  }

  /** Peers that the supernode named as ones to fetch this blob from, now. */
  giversOf(digest: Digest): PeerTarget[] {
    return [...this.#tickets].filter((ticket) => ticket.digest === digest).flatMap((ticket) => ticket.givers);
  }

  // --- what tickets ask ---

  get link(): CoordinatorLink | undefined {
    return this.#link;
  }

  get lostAt(): number {
    return this.#lostAt;
  }

  join(ticket: RemoteTicket): number | undefined {
    if (!this.#link || this.#joined.size >= MAX_WISHES) return undefined;
    this.#lastWish += 1;
    this.#joined.set(this.#lastWish, ticket);
    return this.#lastWish;
  }

  leave(wish: number): void {
    if (!this.#joined.delete(wish)) return;
    this.flushReports();
    this.#link?.send({ t: 'leave', w: wish });
  }

  dirty(ticket: RemoteTicket): void {
    this.#dirty.add(ticket);
    this.#flushSoon();
  }

  reports(): Reports {
    this.#hasReports = true;
    this.#flushSoon();
    return this.#reports;
  }

  flushReports(): void {
    if (!this.#hasReports) return;
    const reports = this.#reports;
    this.#reports = { t: 'r' };
    this.#hasReports = false;
    this.#link?.send(reports);
  }

  numberOf(peer: string): number {
    return this.#numbers.get(peer) ?? -1;
  }

  silenceMs(isSmall: boolean): number {
    return isSmall ? Math.max(SMALL_SILENCE_MS, SMALL_SILENCE_RTTS * (this.#link?.rttMs ?? 0)) : SILENCE_MS;
  }

  closed(ticket: RemoteTicket, digest: Digest): void {
    this.#tickets.delete(ticket);
    this.#dirty.delete(ticket);
    this.#onClosed(digest);
  }

  #forgetSession(): void {
    this.#link = undefined;
    this.#joined.clear();
    this.#peers.clear();
    this.#numbers.clear();
    this.#reports = { t: 'r' };
    this.#hasReports = false;
  }

  #introduced(number: number, target: PeerTarget): void {
    if (this.#peers.size >= MAX_INTRODUCED) {
      this.#peers.clear();
      this.#numbers.clear();
    }
    this.#peers.set(number, target);
    this.#numbers.set(target.peer, number);
  }

  /** What many pieces of one turn of the event loop have to say leaves as one message. */
  #flushSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isDue = false;
    this.flushReports();
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    for (const ticket of dirty) ticket.flush();
  }
}
