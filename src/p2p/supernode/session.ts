import type { Digest } from '../../base/digest.ts';
import { describeError } from '../../base/errors.ts';
import { Pieces } from '../../base/pieces.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import { MAX_PIECES, MAX_WISHES } from '../protocol/limits.ts';
import { parseFromProxy, PIECE_FAILURES, protocolOf, type FromProxy, type Message } from '../protocol/messages.ts';
import { unpackCrcs, unpackPieces } from '../protocol/packed.ts';
import { CLOSE, type SessionSocket, type SocketListener } from '../protocol/socket.ts';
import { refuseProtocol, type Hello, type ProvedBy, type SecondClaim } from './admission.ts';
import type { Assignments } from './assignments.ts';
import { Budget, costOf } from './budget.ts';
import type { PeerId, SwarmEvent } from './events.ts';
import type { ConnectionId } from './roster-events.ts';

/** What a session needs of the supernode around it. */
export interface SessionHost {
  readonly epoch: string;
  /** Milliseconds on a clock that never jumps. */
  now(): number;
  hello(session: Session, hello: Hello): void;
  heard(session: Session): void;
  beat(session: Session, beat: Message<FromProxy, 'beat'>): void;
  swarm(event: SwarmEvent): void;
  /** The peer that was introduced by that number; undefined: none, or none any more. */
  peerOf(number: number): PeerId | undefined;
  dialed(session: Session, answer: Message<FromProxy, 'dialed'>): void;
  /** It asks for a test of its own piece port. */
  test(session: Session, n: number): void;
  preheating(session: Session, message: Message<FromProxy, 'preheating'>): void;
  /** Ends the session for what was said in it. */
  refuse(session: Session, code: RefusalCode, message: string): void;
  closed(session: Session, goodbye: boolean, reason: string): void;
  /** Something threw that should not have. */
  fault(error: unknown): void;
}

/** What cannot be true. */
class Impossible extends Error {}

/**
 * One proxy's session, at the supernode: takes messages in their order and turns them into events for the swarm. What breaks
 * the schema or the order, is meant for an earlier supernode or cannot be true ends the session, and changes nothing.
 */
export class Session implements SocketListener {
  readonly id: ConnectionId;
  /** The address that it came from. */
  readonly from: string;
  readonly socket: SessionSocket;
  readonly nonce: string;
  readonly openedAt: number;
  /** `asked`: it has said hello, and has no answer yet; `visiting`: it is none of the peers, and waits for one answer more. */
  phase: 'new' | 'asked' | 'visiting' | 'open' | 'over' = 'new';
  hello: Hello | undefined;
  /** Set once its `hello` was found good. */
  provedBy: ProvedBy | undefined;
  /** That it accepts another secret too, which may be known here later only. */
  secondClaim: SecondClaim | undefined;
  /** Set once it is open. */
  peer: PeerId = '';
  assignments: Assignments | undefined;
  /** When it was last told some peers. */
  toldPeersAt = 0;
  /** A test that it has asked for is under way. */
  isTested = false;
  readonly #host: SessionHost;
  #goodbye = false;
  /** Digest of each wish, and number of each digest. */
  #wishes: Map<number, Digest> | undefined;
  #numbers: Map<Digest, number> | undefined;
  #lastWish = -1;
  /** Wishes of the session before this one that have not been made again. */
  #inherited: Set<Digest> | undefined;
  readonly #budget: Budget;

  constructor(
    host: SessionHost,
    facts: { id: ConnectionId; from: string; socket: SessionSocket; nonce: string; now: number },
  ) {
    this.#host = host;
    this.id = facts.id;
    this.from = facts.from;
    this.socket = facts.socket;
    this.nonce = facts.nonce;
    this.openedAt = facts.now;
    this.#budget = new Budget(facts.now);
  }

  /** The number that the proxy gave to its wish for the blob. */
  wishOf(digest: Digest): number | undefined {
    return this.#numbers?.get(digest);
  }

  /** Takes the place of another session of the same instance, whose work goes on. */
  inherit(before: Session): void {
    this.#inherited = new Set(before.#inherited);
    for (const digest of before.#numbers?.keys() ?? []) this.#inherited.add(digest);
  }

  message(text: string): void {
    if (this.phase === 'over') return;
    try {
      this.#message(text);
    } catch (error) {
      this.#host.fault(error);
    }
  }

  closed(code: number, reason: string, fault?: string): void {
    const why = fault ?? closedBy(code, reason);
    try {
      this.#host.closed(this, this.#goodbye, `its connection was closed (${why})`);
    } catch (error) {
      this.#host.fault(error);
    }
  }

  #message(text: string): void {
    let message: FromProxy;
    try {
      message = parseFromProxy(text);
    } catch (error) {
      const byVersion = this.phase === 'new' ? refuseProtocol(protocolOf(text) ?? '1.0') : undefined;
      const refusal = byVersion ?? ({ code: 'MESSAGE_INVALID', message: describeError(error) } as const);
      this.#host.refuse(this, refusal.code, refusal.message);
      return;
    }
    if (!this.#budget.take(costOf(message, text), this.#host.now())) {
      this.#host.refuse(this, 'FLOOD', 'it says more than any proxy has to say');
    } else if (this.phase === 'open') this.#inOrder(message);
    else if (this.phase === 'new' && message.t === 'hello') {
      this.phase = 'asked';
      this.hello = message;
      this.#host.hello(this, message);
    } else if (message.t === 'bye' || message.t === 'error') this.#goodbye = true;
    else this.#host.refuse(this, 'MESSAGE_ORDER', `"${message.t}" does not belong before "welcome"`);
  }

  #inOrder(message: FromProxy): void {
    this.#host.heard(this);
    // To hear of it may have ended it.
    if ((this.phase as string) === 'over') return;
    try {
      this.#take(message);
    } catch (error) {
      if (!(error instanceof Impossible)) throw error;
      this.#host.refuse(this, 'IMPOSSIBLE', error.message);
    }
  }

  #take(message: FromProxy): void {
    switch (message.t) {
      case 'r':
        this.#reports(message);
        return;
      case 'beat':
        this.#leaveInherited();
        this.#host.beat(this, message);
        return;
      case 'awaiting':
        this.#awaiting(message);
        return;
      case 'want':
        if (this.#isOfThisEpoch(message)) this.#want(message);
        return;
      case 'leave':
        this.#leave(message.w);
        return;
      case 'announce':
        if (this.#isOfThisEpoch(message)) this.#announce(message);
        return;
      case 'dialed':
        this.#host.dialed(this, message);
        return;
      case 'test':
        this.#host.test(this, message.n);
        return;
      case 'preheating':
        this.#host.preheating(this, message);
        return;
      case 'bye':
      case 'error':
        this.#goodbye = true;
        return;
      case 'hello':
        this.#host.refuse(this, 'MESSAGE_ORDER', 'a second "hello" in one session');
    }
  }

  #isOfThisEpoch(message: { t: string; epoch: string }): boolean {
    if (message.epoch === this.#host.epoch) return true;
    this.#host.refuse(this, 'OLD_EPOCH', `"${message.t}" is meant for an earlier supernode, ${message.epoch}`);
    return false;
  }

  #announce({ blobs, parts, gone }: Message<FromProxy, 'announce'>): void {
    const { peer } = this;
    const events: SwarmEvent[] = [];
    for (const [digest, size, packed] of blobs ?? []) {
      const count = countOf(size);
      const crcs = packed === '' ? undefined : crcsOf(packed, count);
      events.push({ kind: 'have', peer, digest, size, crcs: crcs?.entries() });
    }
    for (const [digest, size, bits, packed] of parts ?? []) {
      const pieces = piecesOf(bits, countOf(size));
      const crcs = packed === '' ? undefined : crcsOf(packed, pieces.length);
      const pairs = crcs && pieces.map((piece, index): [number, number] => [piece, crcs[index]!]);
      events.push({ kind: 'have', peer, digest, size, pieces, crcs: pairs });
    }
    for (const digest of gone ?? []) events.push({ kind: 'lost', peer, digest });
    for (const event of events) this.#host.swarm(event);
  }

  #want({ w, digest, size, held, awaited, origin, image, reading }: Message<FromProxy, 'want'>): void {
    const count = size === undefined ? MAX_PIECES : countOf(size);
    const pieces = piecesOf(held, count);
    if (w <= this.#lastWish) throw new Impossible(`wish ${w} was made before`);
    this.#wishes ??= new Map();
    this.#numbers ??= new Map();
    const earlier = this.#numbers.get(digest);
    if (earlier !== undefined) this.#wishes.delete(earlier);
    else if (this.#wishes.size >= MAX_WISHES) throw new Impossible(`more than ${MAX_WISHES} wishes`);
    this.#lastWish = w;
    this.#inherited?.delete(digest);
    this.#wishes.set(w, digest);
    this.#numbers.set(digest, w);
    const { peer } = this;
    this.#host.swarm({ kind: 'want', peer, digest, size, held: pieces, awaited: [], origin, image });
    for (const [lease, first, length] of reading ?? []) {
      this.#host.swarm({ kind: 'reading', peer, digest, lease, run: { first, count: openCount(length) } });
    }
    // Only now that it is known what it reads already is it asked for more.
    if (awaited.length > 0) this.#host.swarm({ kind: 'awaiting', peer, digest, awaited: awaited.map(runOf) });
  }

  #awaiting({ w, awaited }: Message<FromProxy, 'awaiting'>): void {
    const digest = this.#digestOf(w);
    if (digest) this.#host.swarm({ kind: 'awaiting', peer: this.peer, digest, awaited: awaited.map(runOf) });
  }

  #leave(wish: number): void {
    const digest = this.#digestOf(wish);
    if (!digest) return;
    this.#wishes!.delete(wish);
    this.#numbers!.delete(digest);
    this.#host.swarm({ kind: 'leave', peer: this.peer, digest });
  }

  /** Wishes are made again right after the welcome; those that were not by the first heartbeat are over. */
  #leaveInherited(): void {
    if (!this.#inherited) return;
    const { peer } = this;
    for (const digest of this.#inherited) this.#host.swarm({ kind: 'leave', peer, digest });
    this.#inherited = undefined;
  }

  #reports({ s, n, g, x, p, f, q, e, d, y }: Message<FromProxy, 'r'>): void {
    const { peer } = this;
    const host = this.#host;
    this.#checkWishes(s, n, g, x, p, f, q, e, d, y);
    for (const [w, size] of s ?? []) {
      const digest = this.#digestOf(w);
      if (digest && countOf(size) >= 0) host.swarm({ kind: 'size', peer, digest, size });
    }
    for (const w of n ?? []) {
      const digest = this.#digestOf(w);
      if (digest) host.swarm({ kind: 'no-ranges', peer, digest });
    }
    for (const [w, lease] of g ?? []) {
      const digest = this.#digestOf(w);
      if (digest) host.swarm({ kind: 'progress', peer, digest, lease });
    }
    for (const [w, piece] of x ?? []) {
      const digest = this.#digestOf(w);
      if (digest) host.swarm({ kind: 'lost-piece', peer, digest, piece });
    }
    for (const [w, piece, number, ms, crc32] of p ?? []) {
      const digest = this.#digestOf(w);
      if (!digest) continue;
      const from = number === 0 ? undefined : (host.peerOf(number) ?? '');
      host.swarm({ kind: 'piece', peer, digest, piece, from, ms, crc32 });
    }
    for (const [w, piece, number, reason] of f ?? []) {
      const digest = this.#digestOf(w);
      const from = host.peerOf(number);
      if (digest && from) host.swarm({ kind: 'failed', peer, digest, piece, from, reason: PIECE_FAILURES[reason]! });
    }
    for (const [w, lease, piece, crc32, sha256] of q ?? []) {
      const digest = this.#digestOf(w);
      if (digest) host.swarm({ kind: 'second-reading', peer, digest, lease, piece, crc32, sha256 });
    }
    for (const [w, lease, code, final, retryAfterMs] of e ?? []) {
      const digest = this.#digestOf(w);
      if (!digest) continue;
      const failure = code === '' ? undefined : { code, final: final === 1, retryAfterMs };
      host.swarm({ kind: 'ended', peer, digest, lease, failure });
    }
    for (const w of d ?? []) {
      const digest = this.#digestOf(w);
      if (digest) host.swarm({ kind: 'mismatch', peer, digest });
    }
    for (const [w, piece, crc32] of y ?? []) {
      const digest = this.#digestOf(w);
      if (digest) host.swarm({ kind: 'settled', peer, digest, piece, crc32 });
    }
  }

  /** Before any of it is believed. */
  #checkWishes(...lists: readonly (readonly (number | readonly [number, ...unknown[]])[] | undefined)[]): void {
    for (const entries of lists) {
      for (const entry of entries ?? []) {
        const wish = typeof entry === 'number' ? entry : entry[0];
        if (wish > this.#lastWish) throw new Impossible(`there was no wish ${wish}`);
      }
    }
  }

  /** Undefined: it was left, and this was on its way already. */
  #digestOf(wish: number): Digest | undefined {
    if (wish > this.#lastWish) throw new Impossible(`there was no wish ${wish}`);
    return this.#wishes?.get(wish);
  }
}

/** In words, so that a list of peers tells a crash from a stop. */
function closedBy(code: number, reason: string): string {
  if (code === CLOSE.abnormal) return 'without a word: its process was killed, or its machine or the network went away';
  return reason === '' ? `code ${code}` : `code ${code}, ${reason}`;
}

function openCount(count: number): number {
  return count === 0 ? Number.POSITIVE_INFINITY : count;
}

function runOf([first, count]: readonly [number, number]): { first: number; count: number } {
  return { first, count: openCount(count) };
}

function countOf(size: number): number {
  const { count } = new Pieces(size);
  if (count > MAX_PIECES) throw new Impossible(`a blob of ${size} bytes has too many pieces`);
  return count;
}

function piecesOf(bits: string, count: number): number[] {
  const pieces = unpackPieces(bits, count);
  if (!pieces) throw new Impossible(`it names pieces that a blob of ${count} pieces does not have`);
  return pieces;
}

function crcsOf(packed: string, count: number): Uint32Array {
  const crcs = unpackCrcs(packed, count);
  if (!crcs) throw new Impossible(`it names other than ${count} check sums`);
  return crcs;
}
