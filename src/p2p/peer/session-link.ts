import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { describeError } from '../../base/errors.ts';
import { compatibility } from '../protocol/compatibility.ts';
import { MISSED_HEARTBEATS } from '../protocol/limits.ts';
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
} from './session-errors.ts';

/** From the connection to `challenge`, and from `hello` to `welcome` (which may wait 1 s for another peer's answer). */
export const HELLO_STEP_MS = 5000;
/** For a supernode to try a visitor's piece port, and to have others try it. */
export const VISIT_MS = 15_000;

/** What a proxy says of itself in `hello`. */
export interface SelfDescription {
  readonly peer: string;
  readonly instance: string;
  readonly version: string;
  readonly host: string;
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly uploadSlots?: number | undefined;
}

export type Welcome = Message<FromSupernode, 'welcome'>;

export interface LinkListener {
  opened(link: SessionLink, welcome: Welcome): void;
  /** What comes after the welcome. */
  message(link: SessionLink, message: FromSupernode): void;
  /** It is over: called once, whether it was ever open or not. */
  ended(link: SessionLink, error: Error): void;
}

export interface LinkOptions {
  /** `host:port` of the supernode. */
  readonly address: string;
  readonly socket: SessionSocket;
  readonly self: SelfDescription;
  readonly membership: Membership;
  readonly clock: Clock;
  readonly listener: LinkListener;
  /** Only find out whether a supernode is there: it ends after the challenge. */
  readonly probe?: boolean;
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
  readonly #options: LinkOptions;
  readonly #clock: Clock;
  #phase: 'challenge' | 'welcome' | 'open' | 'over' = 'challenge';
  #facts: SessionFacts | undefined;
  #heartbeatMs = 0;
  #lastHeard: number;
  #sentAt = 0;
  #beats = 0;
  #cancel: () => void;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.address = options.address;
    this.openedAt = this.#now();
    this.#lastHeard = this.openedAt;
    this.#cancel = this.#await('its first message');
    options.socket.listen(this);
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  send(message: FromProxy): void {
    if (this.#phase !== 'over') this.#options.socket.send(encode(message));
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
    this.#lastHeard = this.#now();
    let message: FromSupernode;
    try {
      message = parseFromSupernode(text);
    } catch (error) {
      const { address } = this;
      const theirs = this.#phase === 'challenge' ? protocolOf(text) : undefined;
      const versions = theirs === undefined ? undefined : compatibility({ proxy: PROTOCOL_VERSION, supernode: theirs });
      if (versions?.works === false) this.end(this.#refused('PROTOCOL_VERSION', versions.message));
      else this.end(new SupernodeNotHawker({ address, why: describeError(error) }, { cause: error }));
      return;
    }
    this.#take(message);
  }

  closed(code: number, reason: string, fault?: string): void {
    const why = fault ?? (reason === '' ? `the connection was closed (code ${code})` : reason);
    this.end(new SupernodeLost({ address: this.address, why }));
  }

  #take(message: FromSupernode): void {
    if (message.t === 'reject' || message.t === 'error') {
      this.end(this.#refused(message.code, message.message));
    } else if (this.#phase === 'challenge') {
      if (message.t === 'challenge') this.#challenged(message);
      else this.end(new SupernodeNotHawker({ address: this.address, why: `it begins with "${message.t}"` }));
    } else if (this.#phase === 'welcome') {
      // Another peer with this id may be asked first whether it is there.
      if (message.t === 'welcome') this.#welcomed(message);
    } else {
      if (message.t === 'ping') this.#beat();
      if (message.t === 'beat' && message.n === this.#beats) this.rttMs = this.#now() - this.#sentAt;
      this.#options.listener.message(this, message);
    }
  }

  #challenged(challenge: Message<FromSupernode, 'challenge'>): void {
    const { nonce, epoch, protocol, membership: asksForSecret } = challenge;
    const { self, membership, probe } = this.#options;
    this.version = challenge.version;
    this.protocol = protocol;
    const versions = compatibility({ proxy: PROTOCOL_VERSION, supernode: protocol });
    if (!versions.works) {
      this.end(this.#refused('PROTOCOL_VERSION', versions.message));
      return;
    }
    if (probe) {
      this.send({ t: 'bye' });
      this.end(new SupernodeLost({ address: this.address, why: 'it was only asked whether it is there' }));
      return;
    }
    if (asksForSecret && membership.isOpen) {
      this.end(this.#refused('NOT_A_MEMBER', 'it has a join secret, this proxy has none'));
      return;
    }
    const addresses = [...self.addresses];
    const peerNonce = randomBytes(NONCE_BYTES).toString('base64url');
    const { peer, instance, host, zone, uploadSlots } = self;
    this.epoch = epoch;
    this.#facts = { supernodeNonce: nonce, peerNonce, epoch, peer, instance, addresses };
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
      time: this.#clock.now(),
      ...(this.#options.visit === true && { visit: true }),
    });
  }

  #welcomed(welcome: Welcome): void {
    const { membership, listener } = this.#options;
    const { address } = this;
    if (!membership.isSessionProof(welcome.proof, 'supernode', this.#facts!)) {
      this.end(new SupernodeNotTrusted({ address, why: 'it cannot prove that it has the join secret' }));
      return;
    }
    this.#phase = 'open';
    this.rttMs = this.#now() - this.#sentAt;
    this.#heartbeatMs = welcome.heartbeatMs;
    this.#cancel();
    this.#cancel =
      this.#options.visit === true
        ? this.#await('the test of its piece port', VISIT_MS)
        : this.#clock.after(this.#heartbeatMs, () => this.#heartbeat());
    listener.opened(this, welcome);
  }

  #heartbeat(): void {
    const silentMs = this.#now() - this.#lastHeard;
    if (silentMs > MISSED_HEARTBEATS * this.#heartbeatMs) {
      this.end(new SupernodeSilent({ address: this.address, waitedMs: Math.round(silentMs), step: 'a heartbeat' }));
      return;
    }
    this.#beat();
    this.#cancel = this.#clock.after(this.#heartbeatMs, () => this.#heartbeat());
  }

  #beat(): void {
    this.#beats += 1;
    this.#sentAt = this.#now();
    this.send({ t: 'beat', n: this.#beats, time: this.#clock.now() });
  }

  #await(step: string, waitedMs = HELLO_STEP_MS): () => void {
    return this.#clock.after(waitedMs, () => {
      this.end(new SupernodeSilent({ address: this.address, waitedMs, step }));
    });
  }

  #refused(code: string, message: string): SupernodeRefused {
    return new SupernodeRefused({ code, message, address: this.address });
  }

  #now(): number {
    return this.#clock.monotonic();
  }
}
