import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { ByteTotals } from '../../base/metrics.ts';
import { describeError } from '../../base/errors.ts';
import { compatibility } from '../protocol/compatibility.ts';
import { MISSED_HEARTBEATS } from '../protocol/limits.ts';
import type { MemberKeys } from '../protocol/member-keys.ts';
import { NONCE_BYTES, type Membership, type SessionFacts } from '../protocol/membership.ts';
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

/** From the connection to `challenge`, and from `hello` to `welcome` (which may wait 1 s for another peer's answer). */
export const HELLO_STEP_MS = 5000;
/** For a supernode to try a visitor's piece port, and to have others try it. */
export const VISIT_MS = 15_000;
/** A supernode that asks for more beats than this is not obeyed. */
const MIN_HEARTBEAT_MS = 100;
/** A timer that is so late: this process did not run (SIGSTOP, a frozen machine). */
const PAUSE_MS = 2000;
/** How long after a pause the supernode has to answer before the session is in doubt, and before it counts as dead. */
const DOUBT_AFTER_PAUSE_MS = 1000;
const END_AFTER_PAUSE_MS = 3000;

/** What a proxy says of itself in `hello`. */
export interface SelfDescription {
  readonly peer: string;
  readonly instance: string;
  readonly version: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly uploadSlots?: number | undefined;
  /** Asked at each beat. */
  readonly bytes?: () => ByteTotals;
}

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
  #nonce = '';
  #facts: SessionFacts | undefined;
  #heartbeatMs = 0;
  #lastHeard: number;
  #sentAt = 0;
  #beats = 0;
  /** Of the open session, on the monotonic clock: the next beat is due, the last one is unanswered for too long, the session is dead. */
  #beatAt = 0;
  #doubtAt = Number.POSITIVE_INFINITY;
  #endAt = 0;
  #dueAt = 0;
  /** Wall time less monotonic time, when it was last looked at: it changes where the clock is set, or the machine has slept. */
  #drift = 0;
  #inDoubt = false;
  #cancel: () => void;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.address = options.address;
    this.openedAt = this.#now();
    this.#lastHeard = this.openedAt;
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

  send(message: FromProxy): void {
    if (this.#phase !== 'over') this.#options.socket.send(encode(message));
  }

  /** Registers: `hold` lasts until then. */
  hello(): void {
    if (this.#phase === 'held') this.#hello();
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
    this.#options.socket.close(CLOSE.normal, '');
    this.#options.listener.ended(this, error);
  }

  message(text: string): void {
    if (this.#phase === 'over') return;
    this.#heard();
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
      if (message.t === 'ping') this.#beat();
      if (message.t === 'beat' && message.n === this.#beats) {
        this.rttMs = this.#now() - this.#sentAt;
        this.#compareClocks(message.time);
      }
      this.#options.listener.message(this, message);
    }
  }

  #challenged(challenge: Message<FromSupernode, 'challenge'>): void {
    const { hold } = this.#options;
    const refusal = this.#refusalOf(challenge);
    this.version = challenge.version;
    this.protocol = challenge.protocol;
    this.epoch = challenge.epoch;
    this.#nonce = challenge.nonce;
    this.#phase = 'held';
    // How long it is held is up to the caller, and the supernode: it gives up on who says nothing.
    this.#cancel();
    if (refusal) {
      // Said all the same: the supernode refuses it, and so knows and shows who is missing and why.
      this.#hello();
      this.end(refusal);
    } else if (hold) this.#options.listener.held?.(this);
    else this.#hello();
  }

  #hello(): void {
    const { self, membership } = this.#options;
    const { second } = membership;
    const { epoch } = this;
    const addresses = [...self.addresses];
    const peerNonce = randomBytes(NONCE_BYTES).toString('base64url');
    const { peer, instance, host, zone, uploadSlots } = self;
    this.#facts = { supernodeNonce: this.#nonce, peerNonce, epoch, peer, instance, addresses };
    this.#phase = 'welcome';
    this.#cancel();
    this.#cancel = this.#await('welcome');
    this.#sentAt = this.#now();
    this.send({
      t: 'hello',
      protocol: PROTOCOL_VERSION,
      version: self.version,
      peer,
      instance,
      host,
      addresses,
      zone,
      ...(uploadSlots !== undefined && { uploadSlots }),
      nonce: peerNonce,
      proof: membership.sessionProof('peer', this.#facts),
      ...(second && { secondProof: second.keys.sessionProof('peer', this.#facts) }),
      time: this.#clock.now(),
      ...(this.#options.visit === true && { visit: true }),
    });
  }

  /** Why it is of no use to register. */
  #refusalOf({
    protocol,
    membership: asksForSecret,
  }: Message<FromSupernode, 'challenge'>): SupernodeRefused | undefined {
    const versions = compatibility({ proxy: PROTOCOL_VERSION, supernode: protocol });
    if (!versions.works) return this.#refused('PROTOCOL_VERSION', versions.message);
    if (asksForSecret && this.#options.membership.isOpen)
      return this.#refused('NOT_A_MEMBER', 'it has a join secret, this proxy has none');
    return undefined;
  }

  #welcomed(welcome: Welcome): void {
    const { membership, listener } = this.#options;
    const { address } = this;
    this.#trustedBy = membership.proverOf(welcome.proof, 'supernode', this.#facts!);
    if (!this.#trustedBy) {
      this.end(new SupernodeNotTrusted({ address, why: 'it cannot prove that it has the join secret' }));
      return;
    }
    this.#phase = 'open';
    const now = this.#now();
    this.rttMs = now - this.#sentAt;
    this.#compareClocks(welcome.time);
    this.#heartbeatMs = Math.max(MIN_HEARTBEAT_MS, welcome.heartbeatMs);
    this.#beatAt = now + this.#heartbeatMs;
    this.#drift = this.#clock.now() - now;
    this.#heard();
    this.#cancel();
    if (this.#options.visit === true) this.#cancel = this.#await('test', VISIT_MS);
    else this.#schedule();
    listener.opened(this, welcome);
  }

  #compareClocks(theirs: number): void {
    this.clockSkewMs = Math.round(this.#clock.now() - theirs - this.rttMs / 2);
  }

  #heard(): void {
    this.#lastHeard = this.#now();
    if (this.#phase !== 'open') return;
    this.#endAt = this.#lastHeard + MISSED_HEARTBEATS * this.#heartbeatMs;
    this.#doubtAt = Number.POSITIVE_INFINITY;
    this.#doubt(false);
  }

  #schedule(): void {
    this.#dueAt = Math.min(this.#beatAt, this.#doubtAt, this.#endAt);
    this.#cancel = this.#clock.after(this.#dueAt - this.#now(), () => this.#tick());
  }

  #tick(): void {
    const now = this.#now();
    const drift = this.#clock.now() - now;
    // Where the machine slept, the monotonic clock may have stood still too.
    const pausedMs = Math.max(now - this.#dueAt, drift - this.#drift);
    this.#drift = drift;
    if (pausedMs >= PAUSE_MS) this.#awoke(now, pausedMs);
    else if (now >= this.#endAt) {
      const waitedMs = Math.round(now - this.#lastHeard);
      this.end(new SupernodeSilent({ address: this.address, waitedMs, step: 'session' }));
      return;
    } else if (now >= this.#beatAt) {
      this.#beatAt = now + this.#heartbeatMs;
      // While one is unanswered the doubt is its age.
      this.#doubtAt = Math.min(this.#doubtAt, now + this.#heartbeatMs / 2);
      this.#beat();
    }
    if (now >= this.#doubtAt) {
      this.#doubtAt = Number.POSITIVE_INFINITY;
      this.#doubt(true);
    }
    if (this.#phase === 'open') this.#schedule();
  }

  /** What the supernode said meanwhile has not been read yet, and whether it still knows this proxy is to be seen: it is asked at once. */
  #awoke(now: number, pausedMs: number): void {
    this.#endAt = Math.max(this.#endAt, now + END_AFTER_PAUSE_MS);
    this.#beatAt = now + this.#heartbeatMs;
    this.#doubtAt = now + DOUBT_AFTER_PAUSE_MS;
    this.#beat();
    this.#options.listener.paused?.(this, Math.round(pausedMs));
  }

  #doubt(inDoubt: boolean): void {
    if (this.#inDoubt === inDoubt) return;
    this.#inDoubt = inDoubt;
    this.#options.listener.doubted?.(this, inDoubt);
  }

  #beat(): void {
    this.#beats += 1;
    this.#sentAt = this.#now();
    const bytes = this.#options.self.bytes?.();
    this.send({ t: 'beat', n: this.#beats, time: this.#clock.now(), ...(bytes && { bytes: [...bytes] }) });
  }

  #await(step: Step, waitedMs = HELLO_STEP_MS): () => void {
    return this.#clock.after(waitedMs, () => {
      this.end(new SupernodeSilent({ address: this.address, waitedMs, step }));
    });
  }

  #refused(code: string, message: string): SupernodeRefused {
    return new SupernodeRefused({ code, message, address: this.address, step: this.#step });
  }

  #now(): number {
    return this.#clock.monotonic();
  }
}
