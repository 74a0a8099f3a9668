import type { Digest } from '../../base/digest.ts';
import { describeError } from '../../base/errors.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import { parseFromProxy, protocolOf, type FromProxy, type Message } from '../protocol/messages.ts';
import { CLOSE, type SessionSocket, type SocketListener } from '../protocol/socket.ts';
import { refuseProtocol, type Hello, type ProvedBy, type SecondClaim } from './admission.ts';
import type { Assignments } from './assignments.ts';
import { Budget, costOf } from './budget.ts';
import type { PeerId } from './events.ts';
import { Impossible } from './plausible.ts';
import type { ConnectionId } from './roster-events.ts';
import { SwarmWords, type SwarmHost } from './swarm-words.ts';

/** What a session needs of the supernode around it. */
export interface SessionHost extends SwarmHost {
  readonly epoch: string;
  /** Milliseconds on a clock that never jumps. */
  now(): number;
  hello(session: Session, hello: Hello): void;
  heard(session: Session): void;
  beat(session: Session, beat: Message<FromProxy, 'beat'>): void;
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

/**
 * One proxy's session, at the supernode: takes its messages in their order and hands each to where it belongs. What breaks the
 * schema or the order, is too much, is meant for an earlier supernode or cannot be true ends the session, and changes nothing.
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
  readonly #words: SwarmWords;
  readonly #budget: Budget;
  /** It has said that it stops. */
  #goodbye = false;

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
    this.#words = new SwarmWords(this, host);
  }

  /** The number that the proxy gave to its wish for the blob. */
  wishOf(digest: Digest): number | undefined {
    return this.#words.wishOf(digest);
  }

  /** It is that peer's from now on. */
  open(peer: PeerId): void {
    this.phase = 'open';
    this.peer = peer;
    this.hello = undefined;
    this.socket.proved?.();
  }

  /** Takes the place of another session of the same instance, whose work goes on. */
  inherit(before: Session): void {
    this.#words.inherit(before.#words);
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
        this.#words.report(message);
        return;
      case 'beat':
        this.#words.leaveInherited();
        this.#host.beat(this, message);
        return;
      case 'awaiting':
        this.#words.awaiting(message);
        return;
      case 'want':
        if (this.#isOfThisEpoch(message)) this.#words.want(message);
        return;
      case 'leave':
        this.#words.leave(message);
        return;
      case 'announce':
        if (this.#isOfThisEpoch(message)) this.#words.announce(message);
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
}

/** In words, so that a list of peers tells a crash from a stop. */
function closedBy(code: number, reason: string): string {
  if (code === CLOSE.abnormal) return 'without a word: its process was killed, or its machine or the network went away';
  return reason === '' ? `code ${code}` : `code ${code}, ${reason}`;
}
