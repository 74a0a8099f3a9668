import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { compatibility } from '../protocol/compatibility.ts';
import type { MemberKeys } from '../protocol/member-keys.ts';
import type { Membership } from '../protocol/membership.ts';
import {
  encode,
  parseFromSupernode,
  protocolOf,
  type FromProxy,
  type FromSupernode,
  type Message,
} from '../protocol/messages.ts';
import { CLOSE, type SessionSocket, type SocketListener } from '../protocol/socket.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';
import {
  SupernodeLost,
  SupernodeNotHawker,
  SupernodeNotTrusted,
  SupernodeRefused,
  SupernodeSilent,
  type Step,
} from './session-errors.ts';
import { refusalOf, SessionHello, type SelfDescription } from './session-hello.ts';
import { SessionPulse } from './session-pulse.ts';

/** From the connection to `challenge`, and from `hello` to `welcome` (which may wait 1 s for another peer's answer). */
export const HELLO_STEP_MS = 5000;
/** For a supernode to try a visitor's piece port, and to have others try it. */
export const VISIT_MS = 15_000;

export type Welcome = Message<FromSupernode, 'welcome'>;

export interface LinkListener {
  opened(link: SessionLink, welcome: Welcome): void;
  /** What comes after the welcome. */
  message(link: SessionLink, message: FromSupernode): void;
  /** It is over: called once, whether it was ever open or not. */
  ended(link: SessionLink, error: Error): void;
  /** A supernode is there and waits for `hello` (with `hold` only). */
  held?(link: SessionLink): void;
  /** A beat is unanswered for longer than usual (true), or the supernode was heard of again (false). */
  doubted?(link: SessionLink, inDoubt: boolean): void;
  /** This process or its machine did not run for so long; the session is being checked. */
  paused?(link: SessionLink, ms: number): void;
}

export interface LinkOptions {
  /** `host:port` of the supernode. */
  readonly address: string;
  readonly socket: SessionSocket;
  readonly self: SelfDescription;
  readonly membership: Membership;
  readonly clock: Clock;
  readonly listener: LinkListener;
  /** Wait for a call of `hello` when the supernode is known to be one that this proxy may join. */
  readonly hold?: boolean;
  /** Only find out whether this proxy could register and be reached: after the welcome the supernode says so, and closes. */
  readonly visit?: boolean;
}

/** One session with one supernode, from the first word to the last. */
export class SessionLink implements SocketListener {
  readonly address: string;
  /** Of the supernode's present life; '' before it is known. */
  epoch = '';
  /** Of the supernode's program and protocol; '' before they are known. */
  version = '';
  protocol = '';
  readonly openedAt: number;
  /** Of a message and its answer. */
  rttMs = 0;
  /** This node's clock less the supernode's, by the last welcome or beat; NaN before. Right to half of the round trip. */
  clockSkewMs = Number.NaN;
  readonly #options: LinkOptions;
  readonly #clock: Clock;
  #phase: 'challenge' | 'held' | 'welcome' | 'open' | 'over' = 'challenge';
  /** With which secret the supernode has proved itself. */
  #trustedBy: MemberKeys | undefined;
  /** Of the challenge. */
  #nonce = '';
  #hello: SessionHello | undefined;
  #helloAt = 0;
  /** Once it is open. */
  #pulse: SessionPulse | undefined;
  #cancel: () => void;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.address = options.address;
    this.openedAt = this.#clock.monotonic();
    this.#cancel = this.#await('challenge');
    options.socket.listen(this);
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** With which secret the supernode of the open session has proved itself. */
  get trustedBy(): MemberKeys | undefined {
    return this.#trustedBy;
  }

  /** At which it has said, or will say, that others reach this proxy; and the local address of its connection. */
  get addresses(): readonly string[] {
    return this.#options.self.addresses;
  }

  get localAddress(): string | undefined {
    return this.#options.socket.localAddress;
  }

  send(message: FromProxy): void {
    if (this.#phase !== 'over') this.#options.socket.send(encode(message));
  }

  /** Registers: `hold` lasts until then. */
  hello(): void {
    if (this.#phase === 'held') this.#register();
  }

  /** Ends it in order. */
  goodbye(why: string): void {
    this.send({ t: 'bye' });
    this.end(new SupernodeLost({ address: this.address, why }));
  }

  /** Ends it from this side. */
  end(error: Error): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#cancel();
    this.#pulse?.stop();
    this.#options.socket.close(CLOSE.normal, '');
    this.#options.listener.ended(this, error);
  }

  message(text: string): void {
    if (this.#phase === 'over') return;
    this.#pulse?.heard();
    let message: FromSupernode;
    try {
      message = parseFromSupernode(text);
    } catch (error) {
      const { address } = this;
      const theirs = this.#phase === 'challenge' ? protocolOf(text) : undefined;
      const versions = theirs === undefined ? undefined : compatibility({ proxy: PROTOCOL_VERSION, supernode: theirs });
      if (versions?.works === false) this.end(this.#refused('PROTOCOL_VERSION', versions.message));
      else this.end(new SupernodeNotHawker({ address, why: describeError(error), step: this.#step }, { cause: error }));
      return;
    }
    this.#take(message);
  }

  closed(code: number, reason: string, fault?: string): void {
    const why = fault ?? (reason === '' ? `the connection was closed (code ${code})` : reason);
    this.end(new SupernodeLost({ address: this.address, why, step: this.#step }));
  }

  get #step(): Step {
    return this.#phase === 'open' ? 'session' : this.#phase === 'challenge' ? 'challenge' : 'welcome';
  }

  #take(message: FromSupernode): void {
    if (message.t === 'reject' || message.t === 'error') {
      this.end(this.#refused(message.code, message.message));
    } else if (this.#phase === 'challenge') {
      if (message.t === 'challenge') this.#challenged(message);
      else {
        const why = `it begins with "${message.t}"`;
        this.end(new SupernodeNotHawker({ address: this.address, why, step: 'challenge' }));
      }
    } else if (this.#phase === 'welcome') {
      // Another peer with this id may be asked first whether it is there.
      if (message.t === 'welcome') this.#welcomed(message);
    } else if (this.#phase === 'open') {
      if (message.t === 'ping') this.#pulse?.beat();
      const rttMs = message.t === 'beat' ? this.#pulse?.answered(message.n) : undefined;
      if (message.t === 'beat' && rttMs !== undefined) this.#measured(rttMs, message.time);
      this.#options.listener.message(this, message);
    }
  }

  #challenged(challenge: Message<FromSupernode, 'challenge'>): void {
    const { hold, membership } = this.#options;
    const refusal = refusalOf(challenge, membership);
    this.version = challenge.version;
    this.protocol = challenge.protocol;
    this.epoch = challenge.epoch;
    this.#nonce = challenge.nonce;
    const error = refusal && this.#refused(refusal.code, refusal.message);
    this.#phase = 'held';
    // How long it is held is up to the caller, and the supernode: it gives up on who says nothing.
    this.#cancel();
    if (error) {
      // Said all the same: the supernode refuses it, and so knows and shows who is missing and why.
      this.#register();
      this.end(error);
    } else if (hold) this.#options.listener.held?.(this);
    else this.#register();
  }

  #register(): void {
    const { self, membership, visit } = this.#options;
    const challenge = { epoch: this.epoch, nonce: this.#nonce };
    this.#hello = new SessionHello({
      challenge,
      self,
      membership,
      time: this.#clock.now(),
      isVisit: visit === true,
    });
    this.#phase = 'welcome';
    this.#cancel = this.#await('welcome');
    this.#helloAt = this.#clock.monotonic();
    this.send(this.#hello.message());
  }

  #welcomed(welcome: Welcome): void {
    const { address } = this;
    this.#trustedBy = this.#hello!.proverOf(welcome.proof);
    if (!this.#trustedBy) {
      this.end(new SupernodeNotTrusted({ address, why: 'it cannot prove that it has the join secret' }));
      return;
    }
    this.#phase = 'open';
    this.#measured(this.#clock.monotonic() - this.#helloAt, welcome.time);
    this.#cancel();
    this.#pulse = this.#newPulse(welcome.heartbeatMs);
    if (this.#options.visit === true) this.#cancel = this.#await('test', VISIT_MS);
    else this.#pulse.start();
    this.#options.listener.opened(this, welcome);
  }

  #newPulse(heartbeatMs: number): SessionPulse {
    const { listener, self } = this.#options;
    return new SessionPulse(this.#clock, heartbeatMs, {
      beat: (n) => {
        const bytes = self.bytes?.();
        this.send({ t: 'beat', n, time: this.#clock.now(), ...(bytes && { bytes: [...bytes] }) });
      },
      doubted: (inDoubt) => listener.doubted?.(this, inDoubt),
      paused: (ms) => listener.paused?.(this, ms),
      silent: (waitedMs) => this.end(new SupernodeSilent({ address: this.address, waitedMs, step: 'session' })),
    });
  }

  /** `time`: the supernode's, in an answer that took `rttMs`. */
  #measured(rttMs: number, time: number): void {
    this.rttMs = rttMs;
    this.clockSkewMs = Math.round(this.#clock.now() - time - rttMs / 2);
  }

  #await(step: Step, waitedMs = HELLO_STEP_MS): () => void {
    return this.#clock.after(waitedMs, () => {
      this.end(new SupernodeSilent({ address: this.address, waitedMs, step }));
    });
  }

  #refused(code: string, message: string): SupernodeRefused {
    return new SupernodeRefused({ code, message, address: this.address, step: this.#step });
  }
}
