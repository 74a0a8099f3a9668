import { randomBytes } from 'node:crypto';
import type { Audit } from '../../base/audit.ts';
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import type { Logger } from '../../base/log.ts';
import { compatibility } from '../protocol/compatibility.ts';
import { PAUSED_TODO, REFUSALS, type RefusalCode } from '../protocol/errors.ts';
import { HELLO_TIMEOUT_MS, MAX_KNOWN_PEERS } from '../protocol/limits.ts';
import { NONCE_BYTES, type Membership } from '../protocol/membership.ts';
import type { FromProxy, KnownPeer, Message } from '../protocol/messages.ts';
import { CLOSE, type SessionSocket } from '../protocol/socket.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';
import { examineHello, factsOf, registrationOf, secondClaimIn, withSecond, type Hello } from './admission.ts';
import { Assignments, type Assigning } from './assignments.ts';
import type { BlamedDecision, Decision, PeerId, SwarmEvent } from './events.ts';
import type { SupernodeMetrics } from './metrics.ts';
import { PortTests } from './port-tests.ts';
import { Preheats, type Order, type PreheatRequest } from './preheats.ts';
import type { ReachabilityOptions } from './reachability.ts';
import type { Claim, ConnectionId, MemberView, PeerState, RosterEvent, RosterNotice } from './roster-events.ts';
import { Roster } from './roster.ts';
import { Rotation, type RotationView, type SecretName } from './rotation.ts';
import { Session, type SessionHost } from './session.ts';
import { Sessions } from './sessions.ts';
import { summaryOf } from './summary.ts';
import type { PeerPart, Swarm, SwarmBlob, SwarmStats } from './swarm.ts';
import { Traffic } from './traffic.ts';

/** How often the roster looks for who was missed. */
const ROSTER_TICK_MS = 250;
/** A look that is later than this was held up: by a stopped process or a suspended machine, not by load. */
const PAUSE_MS = 2000;
/** The swarm's clock is this late: what its leases have to say is still in the sockets. */
const SWARM_PAUSE_MS = 500;
/** How often a session is told anew whom to ask when every supernode is gone. */
const TELL_PEERS_MS = 60_000;
/** The longest that a visitor waits for its result: two tests and as many queues. */
const VISIT_MS = 20_000;
/** While peers are missing, it is said anew after so long. */
const SUMMARY_MS = 5 * 60_000;
/** About a peer that has come into such a state. */
const TODO: Partial<Record<PeerState, string>> = {
  unreachable:
    'open its piece port to the other nodes (a firewall?), or set its peer.advertise to an address that they can reach; it is tried again by itself',
  stale: 'nothing, if it comes back; else see whether that node, or the network to it, hangs',
};

/** The swarm, as far as the supernode needs it. */
export type SwarmPort = Pick<
  Swarm,
  'apply' | 'tick' | 'paused' | 'nextTick' | 'blobs' | 'activeBlobs' | 'blob' | 'partsOf' | 'stats' | 'wholesOf'
>;

export interface LifeDeps {
  readonly swarm: SwarmPort;
  readonly membership: Membership;
  readonly heartbeatMs: number;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: SupernodeMetrics;
  /** Is told who may not join. */
  readonly audit?: Audit | undefined;
  readonly ask?: ReachabilityOptions['ask'] | undefined;
  /** Its state is not to be trusted any more: it is to be ended. */
  readonly fault: (error: unknown) => void;
}

/**
 * One life of the supernode, from its start to its end or to a fault: sessions on one side, the pure roster and swarm on the
 * other. It carries messages in, decisions and notices out. Whatever throws at one of its edges (a message, a timer, a test
 * that ends) is a fault in Hawker.
 */
export class Life implements SessionHost {
  readonly epoch = randomBytes(8).toString('hex');
  readonly roster: Roster;
  readonly preheats: Preheats;
  readonly traffic = new Traffic();
  readonly #deps: LifeDeps;
  readonly #clock: Clock;
  readonly #swarm: SwarmPort;
  readonly #ports: PortTests;
  readonly #sessions: Sessions;
  readonly #rotation: Rotation;
  #flushDue = false;
  #lastConnection = 0;
  #timer: { at: number; cancel: () => void } | undefined;
  #rosterTickAt: number;
  #summaryAt: number;
  #over = false;

  constructor(deps: LifeDeps) {
    const { heartbeatMs, membership, clock, log, ask, fault } = deps;
    this.#deps = deps;
    this.#clock = clock;
    this.#swarm = deps.swarm;
    this.roster = new Roster({ heartbeatMs, random: Math.random });
    this.#sessions = new Sessions((session) => this.#tooSlow(session));
    this.preheats = new Preheats((peer, message) => {
      const session = this.#sessions.of(peer);
      if (session) this.#sessions.send(session, message);
      return session !== undefined;
    });
    this.#ports = new PortTests({
      roster: this.roster,
      sessions: this.#sessions,
      tell: (event) => this.#tell(event),
      membership,
      clock,
      fault,
      ...(ask && { ask }),
    });
    const hostOf = (peer: PeerId) => this.roster.find(peer)?.registration.host ?? '';
    this.#rotation = new Rotation({ membership, log, sessions: () => this.#sessions.all(), hostOf });
    this.#rosterTickAt = this.now() + ROSTER_TICK_MS;
    this.#summaryAt = this.now() + SUMMARY_MS;
    this.#schedule();
  }

  /** Connections that are open, of peers and others. */
  get sessions(): number {
    return this.#sessions.size;
  }

  get unregistered(): number {
    return this.#sessions.unregistered.size;
  }

  blobs(): Iterable<SwarmBlob> {
    return this.#swarm.blobs();
  }

  /** Those that somebody wants just now. */
  activeBlobs(limit: number): SwarmBlob[] {
    return this.#swarm.activeBlobs(limit);
  }

  blob(digest: Digest): SwarmBlob | undefined {
    return this.#swarm.blob(digest);
  }

  /** Blobs of which a peer has a part, or all, or that it wants. */
  partsOf(peer: PeerId, limit: number): PeerPart[] {
    return this.#swarm.partsOf(peer, limit);
  }

  /** Whole blobs that a peer holds. */
  blobsOf(peer: PeerId): number {
    return this.#swarm.wholesOf(peer);
  }

  stats(): SwarmStats {
    return this.#swarm.stats();
  }

  /** Has those of the connected peers that it chooses fetch an image. Throws as `Preheats.order`. */
  preheat(request: PreheatRequest): Order {
    const there = Array.from(this.roster.members())
      .filter(({ state }) => state === 'ready' || state === 'unreachable')
      .map(({ registration, state }) => ({ ...registration, isReady: state === 'ready' }));
    return this.preheats.order(randomBytes(8).toString('hex'), request, there, this.now());
  }

  /** As `Preheats.cancel`. */
  cancelPreheat(id: string): Order | undefined {
    return this.preheats.cancel(id, this.now());
  }

  /** Takes a connection from `from`, and speaks first. */
  accept(socket: SessionSocket, from: string): void {
    this.#lastConnection += 1;
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const session = new Session(this, { id: this.#lastConnection, from, socket, nonce, now: this.now() });
    this.#sessions.add(session);
    socket.listen(session);
    const { version, membership } = this.#deps;
    this.#sessions.send(session, {
      t: 'challenge',
      nonce,
      epoch: this.epoch,
      protocol: PROTOCOL_VERSION,
      version,
      membership: !membership.isOpen,
      time: this.#clock.now(),
    });
    if (this.#over) this.refuse(session, 'SHUTTING_DOWN', 'the supernode is shutting down');
  }

  /** Somebody was refused who never had a session. */
  turnedAway(from: string, code: RefusalCode, message: string): void {
    this.#tell({ kind: 'refused', from, code, message });
    this.#deps.audit?.record({ role: 'session', client: from, decision: 'denied', code });
  }

  /** Which secrets a peer has; empty where it is not here, or the cluster is open. */
  secretsOf(peer: PeerId): readonly SecretName[] {
    const session = this.#sessions.of(peer);
    return session ? this.#rotation.secretsOf(session) : [];
  }

  /** How far the peers are with the rotation of the join secret; undefined while there is none. */
  rotation(): RotationView | undefined {
    return this.#rotation.view();
  }

  /** The membership's secrets are others now: who has proved itself with one that does not count any more is out. */
  secretsChanged(): void {
    const { membership } = this.#deps;
    for (const session of this.#sessions.all()) {
      const [prover] = session.provedBy ?? [];
      if (!prover) continue;
      if (membership.accepts(prover)) {
        session.provedBy = withSecond(prover, session.secondClaim, membership);
        continue;
      }
      this.refuse(session, 'SECRET_RETIRED', 'the join secret that it has proved itself with is not accepted any more');
    }
    this.#rotation.changed(this.now());
  }

  /** Ends every session; roster and swarm stay what they were. */
  end(code: RefusalCode, message: string, closeCode: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#ports.close();
    for (const session of this.#sessions.all()) this.#sessions.end(session, code, message, closeCode);
  }

  fault(error: unknown): void {
    this.#deps.fault(error);
  }

  // --- what sessions say ---

  /** Whole milliseconds: sums and differences of them are exact, so that what is due at a time is due then. */
  now(): number {
    return Math.trunc(this.#clock.monotonic());
  }

  hello(session: Session, hello: Hello): void {
    const { membership } = this.#deps;
    const { epoch } = this;
    const found = examineHello(hello, { membership, epoch, nonce: session.nonce });
    if ('code' in found) {
      this.refuse(session, found.code, found.message);
      return;
    }
    session.provedBy = found;
    session.secondClaim = secondClaimIn(hello, epoch, session.nonce);
    if (hello.visit === true) {
      this.#visit(session, hello);
      return;
    }
    const registration = registrationOf(hello, this.#clock.now());
    this.#tell({ kind: 'register', connection: session.id, from: session.from, registration });
  }

  heard(session: Session): void {
    this.#notices(this.roster.apply({ kind: 'heard', connection: session.id }, this.now()));
  }

  beat(session: Session, { n, bytes }: Message<FromProxy, 'beat'>): void {
    const now = this.now();
    const instance = this.roster.find(session.peer)?.registration.instance;
    if (bytes && instance !== undefined) this.traffic.told(instance, bytes, now);
    const isTime = now - session.toldPeersAt >= TELL_PEERS_MS;
    if (isTime) session.toldPeersAt = now;
    const peers = isTime ? this.#knownTo(session) : undefined;
    this.#sessions.send(session, { t: 'beat', n, time: this.#clock.now(), ...(peers && { peers }) });
  }

  swarm(event: SwarmEvent): void {
    this.#decisions(this.#swarm.apply(event, this.now()));
  }

  peerOf(number: number): PeerId | undefined {
    return this.roster.byNumber(number)?.registration.peer;
  }

  dialed(session: Session, answer: Message<FromProxy, 'dialed'>): void {
    this.#ports.dialed(session, answer);
  }

  test(session: Session, n: number): void {
    this.#ports.asked(session, n);
  }

  preheating({ peer }: Session, message: Message<FromProxy, 'preheating'>): void {
    this.preheats.told(peer, message, this.now());
  }

  refuse(session: Session, code: RefusalCode, message: string): void {
    if (session.phase === 'over') return;
    this.#tell({ kind: 'refused', from: session.from, who: this.#whoIs(session), code, message });
    const isMember = session.phase === 'open';
    if (!isMember) this.#deps.audit?.record({ role: 'session', client: session.from, decision: 'denied', code });
    this.#sessions.end(session, code, message, CLOSE.policy);
    this.closed(session, false, `its session was ended: ${code}, ${message}`);
  }

  closed(session: Session, goodbye: boolean, reason: string): void {
    if (this.#over) return;
    this.#sessions.drop(session);
    this.#tell({ kind: 'closed', connection: session.id, goodbye, reason });
  }

  #tooSlow(session: Session): void {
    const message = 'it does not take what it is sent';
    this.#tell({ kind: 'refused', from: session.from, who: this.#whoIs(session), code: 'TOO_SLOW', message });
    this.closed(session, false, 'it did not take what it was sent');
  }

  /** What it calls itself; before its membership was proved anybody may say anything. */
  #whoIs({ hello, peer }: Session): Claim | undefined {
    return hello ?? this.roster.find(peer)?.registration;
  }

  // --- visitors ---

  /** It could register: it is told so, and whether its piece port can be reached. */
  #visit(session: Session, hello: Hello): void {
    if (this.roster.isFull) {
      this.refuse(session, 'FULL', 'it has as many sessions as it takes');
      return;
    }
    session.phase = 'visiting';
    this.#sayWelcome(session, hello, []);
    this.#ports.ofVisitor(session, hello);
  }

  // --- what the roster and the swarm say ---

  #tell(event: RosterEvent): void {
    this.#notices(this.roster.apply(event, this.now()));
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
        if (session) this.#sessions.end(session, notice.code, notice.message, CLOSE.again);
        return;
      }
      case 'ping': {
        const session = this.#sessions.get(notice.connection);
        if (session) this.#sessions.send(session, { t: 'ping' });
        return;
      }
      case 'test':
        this.#ports.ofMember(notice.member);
        return;
      case 'refused': {
        const { address, host, code, message, count } = notice.refused;
        this.#deps.metrics.refused(code);
        if (count > 1) return;
        const who = { address, ...(host !== '' && { host }) };
        this.#deps.log.warn({ code, ...who, todo: REFUSALS[code] }, `a proxy was refused: ${message}`);
      }
    }
  }

  #stateChanged(member: MemberView, was: MemberView['state'] | undefined): void {
    const { registration, state, reason } = member;
    const { peer, host, instance } = registration;
    const isIn = state === 'ready' || state === 'unreachable';
    const wasIn = was === 'ready' || was === 'unreachable';
    if (isIn) this.#peerEvent(member);
    else if (wasIn) this.swarm({ kind: 'gone', peer });
    // Who was silent for a while and has the same session still.
    if (isIn && !wasIn) this.preheats.connected(peer, instance, this.now());
    else if (!isIn && wasIn) this.preheats.gone(peer, `${state}: ${reason}`, this.now());
    const code = `PEER_${state.toUpperCase()}`;
    const level = state === 'ready' || state === 'left' || was === undefined ? 'info' : 'warn';
    this.#deps.log[level](
      { code, peer, host, addresses: registration.addresses, ...(level === 'warn' && { todo: TODO[state] }) },
      `a peer ${was === undefined ? 'has registered' : `is ${state}`}: ${reason || 'it can be reached'}`,
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
    const { instance } = member.registration;
    session.phase = 'open';
    session.socket.proved?.();
    session.peer = hello.peer;
    session.toldPeersAt = this.now();
    session.hello = undefined;
    const before = this.#sessions.of(hello.peer);
    if (!fresh && before) session.inherit(before);
    this.#sessions.opened(session);
    if (!fresh) this.#peerEvent(member);
    const warning = this.#sayWelcome(session, hello, this.#knownTo(session));
    this.preheats.connected(hello.peer, instance, this.now());
    if (warning === undefined) return;
    const { peer, host, version } = hello;
    this.#deps.log.info({ code: 'PROTOCOL_VERSION_DIFFERS', peer, host, version }, warning);
  }

  /** How the versions differ, where they do. */
  #sayWelcome(session: Session, hello: Hello, peers: KnownPeer[]): string | undefined {
    const { heartbeatMs } = this.#deps;
    const versions = compatibility({ proxy: hello.protocol, supernode: PROTOCOL_VERSION });
    const warning = versions.works ? versions.warning : undefined;
    this.#sessions.send(session, {
      t: 'welcome',
      epoch: this.epoch,
      heartbeatMs,
      // With the secret that the proxy has proved itself with: it may not have the other one yet, or not any more.
      proof: session.provedBy![0].sessionProof('supernode', factsOf(hello, this.epoch, session.nonce)),
      time: this.#clock.now(),
      peers,
      ...(warning !== undefined && { warning }),
    });
    return warning;
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
    this.#deps.metrics.rejectedEvent(code);
    const session = this.#sessions.of(peer);
    if (session && code === 'NO_SUCH_PIECE')
      this.refuse(session, 'IMPOSSIBLE', 'it reports a piece that the blob does not have');
  }

  #blamed({ peer, digest, piece, right }: BlamedDecision): void {
    const host = this.roster.find(peer)?.registration.host;
    const todo =
      'look for bad memory, a bad disk, or something on that node’s way to the registry that changes what it reads';
    this.#deps.log.warn(
      { code: 'READS_WRONG_BYTES', peer, host, digest, piece, right, todo },
      'a peer has read other bytes from the origin than they are: it gives nothing to others for a while',
    );
  }

  #assign(decision: Assigning): void {
    const session = this.#sessions.of(decision.peer);
    const wish = session?.wishOf(decision.digest);
    if (!session || wish === undefined) return;
    session.assignments ??= new Assignments();
    session.assignments.add(decision, wish, this.#sourceIn(decision));
    this.#sessions.assigned(session);
    this.#flushSoon();
  }

  #sourceIn(decision: Assigning): MemberView | undefined {
    if (decision.kind === 'fetch') return this.roster.find(decision.from);
    return decision.kind === 'second-reading' ? this.roster.find(decision.by) : undefined;
  }

  #knownTo(session: Session): KnownPeer[] {
    const zone = this.roster.find(session.peer)?.registration.zone ?? '';
    return this.roster.some(zone, session.peer, MAX_KNOWN_PEERS).map(({ registration, addresses }) => ({
      id: registration.peer,
      instance: registration.instance,
      addresses: [...addresses],
      zone: registration.zone,
    }));
  }

  // --- time ---

  /** One timer for everything. */
  #schedule(): void {
    const at = this.#dueAt();
    if (this.#over || (this.#timer && this.#timer.at <= at)) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    const wait = at - this.now();
    if (wait <= 0) this.#flushSoon();
    else this.#timer = { at, cancel: this.#clock.after(wait, () => this.#guard(() => this.#tick())) };
  }

  #dueAt(): number {
    return Math.min(this.#rosterTickAt, this.#swarm.nextTick);
  }

  #tick(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.now();
    if (now - this.#swarm.nextTick >= SWARM_PAUSE_MS) this.#swarm.paused(now);
    this.#decisions(this.#swarm.tick(now));
    if (now >= this.#rosterTickAt) {
      const lateMs = now - this.#rosterTickAt;
      this.#rosterTickAt = now + ROSTER_TICK_MS;
      if (lateMs >= PAUSE_MS) this.#paused(lateMs);
      this.#notices(this.roster.tick(now));
      this.preheats.tick(now);
      this.#endLate(now);
      this.#rotation.look(now);
      this.#summarize(now);
    }
    this.#schedule();
  }

  /** What peers have said meanwhile is still in their sockets. */
  #paused(ms: number): void {
    this.roster.paused(ms);
    this.#deps.log.warn({ code: 'SUPERNODE_PAUSED', ms, todo: PAUSED_TODO }, `this process did not run for ${ms} ms`);
  }

  #endLate(now: number): void {
    for (const session of this.#sessions.unregistered) {
      const age = now - session.openedAt;
      if (age < HELLO_TIMEOUT_MS) break;
      if (session.phase === 'new') this.refuse(session, 'HELLO_TIMEOUT', `no hello within ${HELLO_TIMEOUT_MS} ms`);
      else if (session.phase === 'visiting' && age >= VISIT_MS) {
        this.#sessions.end(session, 'TOO_SLOW', 'the test of its piece port took too long', CLOSE.again);
      }
    }
  }

  #summarize(now: number): void {
    if (now < this.#summaryAt) return;
    const summary = summaryOf(this.roster, this.#summaryAt - SUMMARY_MS);
    this.#summaryAt = now + SUMMARY_MS;
    if (summary) this.#deps.log.warn({ code: 'PEERS_MISSING', ...summary.counts, todo: summary.todo }, summary.message);
  }

  /** After all messages of this turn of the event loop. */
  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => this.#guard(() => this.#flush()));
  }

  #flush(): void {
    this.#flushDue = false;
    if (this.#dueAt() <= this.now()) this.#tick();
    this.#sessions.flush();
  }

  /** An edge: what throws behind it is a fault. */
  #guard(task: () => void): void {
    if (this.#over) return;
    try {
      task();
    } catch (error) {
      this.fault(error);
    }
  }
}
