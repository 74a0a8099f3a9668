import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import { compatibility } from '../protocol/compatibility.ts';
import { REFUSALS, type RefusalCode } from '../protocol/errors.ts';
import { HELLO_TIMEOUT_MS, MAX_KNOWN_PEERS } from '../protocol/limits.ts';
import { NONCE_BYTES, type Membership } from '../protocol/membership.ts';
import { encode, type FromProxy, type FromSupernode, type KnownPeer, type Message } from '../protocol/messages.ts';
import { CLOSE, type SessionSocket } from '../protocol/socket.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';
import { factsOf, refuseHello, registrationOf, type Hello } from './admission.ts';
import { Assignments, type Assigning } from './assignments.ts';
import type { BlamedDecision, Decision, PeerId, SwarmEvent } from './events.ts';
import { SupernodeMetrics } from './metrics.ts';
import { Reachability, type ReachabilityOptions } from './reachability.ts';
import type { ConnectionId, MemberView, RosterEvent, RosterNotice } from './roster-events.ts';
import { Roster } from './roster.ts';
import { Session, type SessionHost } from './session.ts';
import type { Swarm } from './swarm.ts';
import { peersView, type PeersView } from './views.ts';

/** What is not sent within this much holds a session up for good. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;
/** How often the roster looks for who was missed. */
const ROSTER_TICK_MS = 250;
/** How often a session is told anew whom to ask when every supernode is gone. */
const TELL_PEERS_MS = 60_000;
/** Connections that have not registered yet. */
export const MAX_UNREGISTERED = 2048;

/** The swarm, as far as the supernode needs it. */
export type SwarmPort = Pick<Swarm, 'apply' | 'tick' | 'nextTick' | 'blobs' | 'stats'>;

export interface SupernodeOptions {
  readonly swarm: SwarmPort;
  readonly membership: Membership;
  readonly heartbeatMs: number;
  /** Of the program. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly ask?: ReachabilityOptions['ask'];
}

/**
 * The supernode: sessions on one side, the pure roster and swarm on the other. It carries messages in, decisions and notices
 * out; what many messages of one turn of the event loop bring about leaves as one message a session, so that the busier it is
 * the fewer messages it sends.
 */
export class Supernode implements SessionHost {
  /** Of this life of the supernode. */
  readonly epoch = randomBytes(8).toString('hex');
  readonly #options: SupernodeOptions;
  readonly #clock: Clock;
  readonly #swarm: SwarmPort;
  readonly #roster: Roster;
  readonly #reachability: Reachability;
  readonly #metrics: SupernodeMetrics;
  readonly #startedAt: number;
  readonly #sessions = new Map<ConnectionId, Session>();
  readonly #unregistered = new Set<Session>();
  readonly #byPeer = new Map<PeerId, Session>();
  /** The peer of each number that the roster gave, as long as it is here. */
  readonly #byNumber = new Map<number, PeerId>();
  readonly #dirty = new Set<Session>();
  #flushDue = false;
  #lastConnection = 0;
  #timer: { at: number; cancel: () => void } | undefined;
  #rosterTickAt: number;
  #closed = false;

  constructor(options: SupernodeOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#swarm = options.swarm;
    this.#roster = new Roster({ heartbeatMs: options.heartbeatMs, random: Math.random });
    this.#metrics = new SupernodeMetrics(options.metrics, () => this.#roster.counts());
    this.#startedAt = options.clock.now();
    this.#reachability = new Reachability({
      membership: options.membership,
      clock: options.clock,
      helpers: (member, count) => this.#helpers(member, count),
      report: ({ registration: { peer } }, instance, result) => this.#tell({ kind: 'tested', peer, instance, result }),
      ...(options.ask && { ask: options.ask }),
    });
    this.#rosterTickAt = this.#now() + ROSTER_TICK_MS;
    this.#schedule();
  }

  /** Whether one more connection may be taken. */
  get hasRoom(): boolean {
    return !this.#closed && this.#unregistered.size < MAX_UNREGISTERED;
  }

  /** Takes a connection from `from`, and speaks first. */
  accept(socket: SessionSocket, from: string): void {
    this.#lastConnection += 1;
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const session = new Session(this, { id: this.#lastConnection, from, socket, nonce, now: this.#now() });
    this.#sessions.set(session.id, session);
    this.#unregistered.add(session);
    socket.listen(session);
    const { version, membership } = this.#options;
    const { epoch } = this;
    this.#send(session, {
      t: 'challenge',
      nonce,
      epoch,
      protocol: PROTOCOL_VERSION,
      version,
      membership: !membership.isOpen,
      time: this.#clock.now(),
    });
    if (this.#closed) this.refuse(session, 'SHUTTING_DOWN', 'the supernode is shutting down');
  }

  /** As `/api/v1/peers` gives it. */
  peers(): PeersView {
    const blobsOf = (peer: PeerId) => this.#byPeer.get(peer)?.announced ?? 0;
    return peersView(this.#roster, blobsOf, this.#clock.now() - this.#now());
  }

  /** As `/api/v1/blobs` gives it. */
  blobs(): { blobs: ReturnType<SwarmPort['blobs']> extends Iterable<infer B> ? B[] : never } {
    return { blobs: [...this.#swarm.blobs()] };
  }

  /** As `/api/v1/status` gives it. */
  status(): unknown {
    return {
      role: 'supernode',
      version: this.#options.version,
      protocol: PROTOCOL_VERSION,
      epoch: this.epoch,
      since: new Date(this.#startedAt).toISOString(),
      peers: this.#roster.counts(),
      swarm: this.#swarm.stats(),
    };
  }

  /** Ends every session, so that proxies look elsewhere at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#reachability.close();
    for (const session of this.#sessions.values()) {
      this.#end(session, 'SHUTTING_DOWN', 'the supernode is shutting down', CLOSE.goingAway);
    }
  }

  // --- what sessions say ---

  hello(session: Session, hello: Hello): void {
    const { membership } = this.#options;
    const { epoch } = this;
    const refusal = refuseHello(hello, { membership, epoch, nonce: session.nonce });
    if (refusal) {
      this.refuse(session, refusal.code, refusal.message);
      return;
    }
    const registration = registrationOf(hello, this.#clock.now());
    this.#tell({ kind: 'register', connection: session.id, from: session.from, registration });
  }

  heard(session: Session): void {
    this.#notices(this.#roster.apply({ kind: 'heard', connection: session.id }, this.#now()));
  }

  beat(session: Session, { n }: Message<FromProxy, 'beat'>): void {
    const now = this.#now();
    const isTime = now - session.toldPeersAt >= TELL_PEERS_MS;
    if (isTime) session.toldPeersAt = now;
    const peers = isTime ? this.#knownTo(session) : undefined;
    this.#send(session, { t: 'beat', n, time: this.#clock.now(), ...(peers && { peers }) });
  }

  swarm(event: SwarmEvent): void {
    this.#decisions(this.#swarm.apply(event, this.#now()));
  }

  peerOf(number: number): PeerId | undefined {
    return this.#byNumber.get(number);
  }

  dialed(session: Session, answer: Message<FromProxy, 'dialed'>): void {
    this.#reachability.dialed(session.id, answer);
  }

  refuse(session: Session, code: RefusalCode, message: string): void {
    if (session.phase === 'over') return;
    this.#tell({ kind: 'refused', from: session.from, code, message });
    this.#end(session, code, message, CLOSE.policy);
    this.closed(session, false, `its session was ended: ${code}, ${message}`);
  }

  closed(session: Session, goodbye: boolean, reason: string): void {
    this.#drop(session);
    this.#tell({ kind: 'closed', connection: session.id, goodbye, reason });
  }

  // --- what the roster and the swarm say ---

  #tell(event: RosterEvent): void {
    this.#notices(this.#roster.apply(event, this.#now()));
  }

  #notices(notices: readonly RosterNotice[]): void {
    for (const notice of notices) this.#notice(notice);
    if (notices.length > 0) this.#schedule();
  }

  #notice(notice: RosterNotice): void {
    switch (notice.kind) {
      case 'state':
        this.#stateChanged(notice.member, notice.was);
        return;
      case 'welcome':
        this.#welcome(notice.connection, notice.member, notice.fresh);
        return;
      case 'reject':
      case 'close': {
        const session = this.#sessions.get(notice.connection);
        if (session) this.#end(session, notice.code, notice.message, CLOSE.again);
        return;
      }
      case 'ping': {
        const session = this.#sessions.get(notice.connection);
        if (session) this.#send(session, { t: 'ping' });
        return;
      }
      case 'test':
        this.#reachability.test(notice.member);
        return;
      case 'refused': {
        const { address, code, message, count } = notice.refused;
        this.#metrics.refused(code);
        if (count > 1) return;
        this.#options.log.warn({ code, address, todo: REFUSALS[code] }, `a proxy was refused: ${message}`);
      }
    }
  }

  #stateChanged(member: MemberView, was: MemberView['state'] | undefined): void {
    const { registration, state, reason } = member;
    const { peer, host } = registration;
    const isIn = state === 'ready' || state === 'unreachable';
    const wasIn = was === 'ready' || was === 'unreachable';
    if (isIn) this.#peerEvent(member);
    else if (wasIn) this.swarm({ kind: 'gone', peer });
    if (state === 'left') this.#byNumber.delete(member.number);
    const code = `PEER_${state.toUpperCase()}`;
    const level = state === 'ready' || state === 'left' || was === undefined ? 'info' : 'warn';
    this.#options.log[level](
      { code, peer, host, addresses: registration.addresses },
      `a peer is ${state}: ${reason || 'it can be reached'}`,
    );
  }

  #peerEvent({ registration, state }: MemberView): void {
    const { peer, zone, uploadSlots } = registration;
    this.swarm({ kind: 'peer', peer, reachable: state === 'ready', zone, uploadSlots });
  }

  #welcome(connection: ConnectionId, member: MemberView, fresh: boolean): void {
    const session = this.#sessions.get(connection);
    if (!session?.hello) return;
    const { hello } = session;
    const { membership, heartbeatMs } = this.#options;
    session.phase = 'open';
    session.peer = hello.peer;
    session.toldPeersAt = this.#now();
    session.hello = undefined;
    this.#unregistered.delete(session);
    const before = this.#byPeer.get(hello.peer);
    if (!fresh && before) session.announced = before.announced;
    this.#byPeer.set(hello.peer, session);
    this.#byNumber.set(member.number, hello.peer);
    if (!fresh) this.#peerEvent(member);
    const versions = compatibility({ proxy: hello.protocol, supernode: PROTOCOL_VERSION });
    const warning = versions.works ? versions.warning : undefined;
    this.#send(session, {
      t: 'welcome',
      epoch: this.epoch,
      heartbeatMs,
      proof: membership.sessionProof('supernode', factsOf(hello, this.epoch, session.nonce)),
      time: this.#clock.now(),
      peers: this.#knownTo(session),
      ...(warning !== undefined && { warning }),
    });
  }

  #decisions(decisions: readonly Decision[]): void {
    for (const decision of decisions) {
      if (decision.kind === 'trouble') this.#tell({ kind: 'trouble', peer: decision.peer });
      else if (decision.kind === 'reject') this.#rejected(decision.peer, decision.code);
      else if (decision.kind === 'blamed') this.#blamed(decision);
      else this.#assign(decision);
    }
    this.#schedule();
  }

  /** What contradicts others or breaks a limit may be honest; a piece that does not exist is not. */
  #rejected(peer: PeerId, code: string): void {
    this.#metrics.rejectedEvent(code);
    const session = this.#byPeer.get(peer);
    if (session && code === 'NO_SUCH_PIECE')
      this.refuse(session, 'IMPOSSIBLE', 'it reports a piece that the blob does not have');
  }

  #blamed({ peer, digest, piece, right }: BlamedDecision): void {
    const host = this.#roster.find(peer)?.registration.host;
    const todo =
      'look for bad memory, a bad disk, or something on that node’s way to the registry that changes what it reads';
    this.#options.log.warn(
      { code: 'READS_WRONG_BYTES', peer, host, digest, piece, right, todo },
      'a peer has read other bytes from the origin than they are: it gives nothing to others for a while',
    );
  }

  #assign(decision: Assigning): void {
    const session = this.#byPeer.get(decision.peer);
    const wish = session?.wishOf(decision.digest);
    if (!session || wish === undefined) return;
    session.assignments ??= new Assignments();
    session.assignments.add(decision, wish, this.#sourceIn(decision));
    if (session.assignments.isFull) this.#flush(session);
    else this.#dirty.add(session);
    this.#flushSoon();
  }

  #sourceIn(decision: Assigning): MemberView | undefined {
    if (decision.kind === 'fetch') return this.#roster.find(decision.from);
    return decision.kind === 'second-reading' ? this.#roster.find(decision.by) : undefined;
  }

  /** After all messages of this turn of the event loop. */
  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => this.#flushAll());
  }

  #flushAll(): void {
    this.#flushDue = false;
    if (!this.#closed && this.#dueAt() <= this.#now()) this.#tick();
    for (const session of this.#dirty) this.#flush(session);
    this.#dirty.clear();
  }

  #flush(session: Session): void {
    if (session.phase === 'open' && session.assignments) this.#send(session, session.assignments.take());
  }

  // --- sessions ---

  #send(session: Session, message: FromSupernode): void {
    if (session.phase === 'over') return;
    session.socket.send(encode(message));
    if (session.socket.backlog <= MAX_BACKLOG_BYTES) return;
    session.phase = 'over';
    session.socket.terminate();
    this.#tell({ kind: 'refused', from: session.from, code: 'TOO_SLOW', message: 'it does not take what it is sent' });
    this.closed(session, false, 'it did not take what it was sent');
  }

  /** Says why, and closes. The roster is told by the caller, or has told. */
  #end(session: Session, code: RefusalCode, message: string, closeCode: number): void {
    if (session.phase === 'over') return;
    const text = `${message} (${REFUSALS[code]})`.slice(0, 1000);
    session.socket.send(encode({ t: session.phase === 'open' ? 'error' : 'reject', code, message: text }));
    session.socket.close(closeCode, code);
    this.#drop(session);
  }

  #drop(session: Session): void {
    session.phase = 'over';
    session.assignments = undefined;
    this.#sessions.delete(session.id);
    this.#unregistered.delete(session);
    this.#dirty.delete(session);
    if (this.#byPeer.get(session.peer) === session) this.#byPeer.delete(session.peer);
  }

  #knownTo(session: Session): KnownPeer[] {
    const zone = this.#roster.find(session.peer)?.registration.zone ?? '';
    return this.#roster.some(zone, session.peer, MAX_KNOWN_PEERS).map(({ registration, addresses }) => ({
      id: registration.peer,
      instance: registration.instance,
      addresses: [...addresses],
      zone: registration.zone,
    }));
  }

  #helpers({ registration }: MemberView, count: number) {
    return this.#roster.some('', registration.peer, count).flatMap((helper) => {
      const session = this.#byPeer.get(helper.registration.peer);
      return session ? [{ id: session.id, ask: (message: FromSupernode) => this.#send(session, message) }] : [];
    });
  }

  // --- time ---

  /** Whole milliseconds: sums and differences of them are exact, so that what is due at a time is due then. */
  #now(): number {
    return Math.trunc(this.#clock.monotonic());
  }

  /** One timer for everything. */
  #schedule(): void {
    if (this.#closed) return;
    const at = this.#dueAt();
    if (at <= this.#now()) {
      this.#flushSoon();
      return;
    }
    if (this.#timer && this.#timer.at <= at) return;
    this.#timer?.cancel();
    this.#timer = { at, cancel: this.#clock.after(at - this.#now(), () => this.#tick()) };
  }

  #dueAt(): number {
    return Math.min(this.#rosterTickAt, this.#swarm.nextTick);
  }

  #tick(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.#now();
    this.#decisions(this.#swarm.tick(now));
    if (now >= this.#rosterTickAt) {
      this.#rosterTickAt = now + ROSTER_TICK_MS;
      this.#notices(this.#roster.tick(now));
      for (const session of this.#unregistered) {
        if (session.phase !== 'new') continue;
        if (now - session.openedAt < HELLO_TIMEOUT_MS) break;
        this.refuse(session, 'HELLO_TIMEOUT', `no hello within ${HELLO_TIMEOUT_MS} ms`);
      }
    }
    this.#schedule();
  }
}
