import { randomBytes } from 'node:crypto';
import type { Audit } from '../../base/audit.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import type { Membership } from '../protocol/membership.ts';
import type { SessionSocket } from '../protocol/socket.ts';
import { Endings } from './endings.ts';
import type { Decision, PeerId, SwarmEvent } from './events.ts';
import { Heartbeats } from './heartbeats.ts';
import { Introductions } from './introductions.ts';
import type { SupernodeMetrics } from './metrics.ts';
import { OperatorNews } from './operator-news.ts';
import { PortTests } from './port-tests.ts';
import { candidatesAmong } from './preheat-choice.ts';
import { Preheats, type Order, type PreheatRequest } from './preheats.ts';
import { Pulse } from './pulse.ts';
import type { ReachabilityOptions } from './reachability.ts';
import { Reception } from './reception.ts';
import { RosterEffects } from './roster-effects.ts';
import type { RosterEvent, RosterNotice } from './roster-events.ts';
import { Roster, type RosterView } from './roster.ts';
import { Rotation, type RotationView, type SecretName } from './rotation.ts';
import { Rounds } from './rounds.ts';
import type { SessionHost } from './session.ts';
import { Sessions } from './sessions.ts';
import { Summaries } from './summary.ts';
import { SwarmEffects } from './swarm-effects.ts';
import type { Swarm } from './swarm.ts';
import { Traffic } from './traffic.ts';

/** The swarm's clock is this late: what its leases have to say is still in the sockets. */
const SWARM_PAUSE_MS = 500;

/** What can be read of the swarm. */
export type SwarmView = Pick<Swarm, 'blobs' | 'activeBlobs' | 'blob' | 'partsOf' | 'stats' | 'wholesOf'>;
/** The swarm, as far as the supernode needs it. */
export type SwarmPort = SwarmView & Pick<Swarm, 'apply' | 'tick' | 'paused' | 'nextTick'>;

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
 * One life of the supernode, from its start to its end or to a fault. Two pure state machines drive it, the roster (who is
 * here) and the swarm (who has what, who sends what): here they are told what happens, and the time, and their words are handed
 * to those who carry them out (`RosterEffects`, `SwarmEffects`), which may tell the other machine in turn. All other parts are
 * made here and know nothing of each other beyond what they are given. Whatever throws at one of its edges (a message, a timer,
 * a test that ends) is a fault in Hawker.
 */
export class Life {
  readonly epoch = randomBytes(8).toString('hex');
  readonly roster: RosterView;
  readonly swarm: SwarmView;
  readonly preheats: Pick<Preheats, 'find' | 'all'>;
  readonly traffic: Pick<Traffic, 'view' | 'of'>;
  readonly #clock: Clock;
  readonly #roster: Roster;
  readonly #preheats: Preheats;
  readonly #swarm: SwarmPort;
  readonly #fault: (error: unknown) => void;
  readonly #news: OperatorNews;
  readonly #sessions: Sessions;
  readonly #endings: Endings;
  readonly #reception: Reception;
  readonly #heartbeats: Heartbeats;
  readonly #rotation: Rotation;
  readonly #ports: PortTests;
  readonly #summaries: Summaries;
  readonly #rosterEffects: RosterEffects;
  readonly #swarmEffects: SwarmEffects;
  readonly #rounds: Rounds;
  readonly #pulse: Pulse;
  /** To whom what sessions hear goes. */
  readonly #host: SessionHost = {
    epoch: this.epoch,
    now: () => this.now(),
    hello: (session, hello) => this.#reception.hello(session, hello),
    heard: ({ id }) => this.#tellRoster({ kind: 'heard', connection: id }),
    beat: (session, beat) => this.#heartbeats.answer(session, beat, this.now()),
    swarm: (event) => this.#tellSwarm(event),
    peerOf: (number) => this.roster.byNumber(number)?.registration.peer,
    dialed: (session, answer) => this.#ports.dialed(session, answer),
    test: (session, n) => this.#ports.asked(session, n),
    preheating: ({ peer }, message) => this.#preheats.told(peer, message, this.now()),
    refuse: (session, code, message) => this.#endings.refuse(session, code, message),
    closed: (session, goodbye, reason) => this.#endings.closed(session, goodbye, reason),
    fault: (error) => this.#fault(error),
  };
  #over = false;

  constructor(deps: LifeDeps) {
    const { clock, membership, heartbeatMs, version, log, ask, fault } = deps;
    this.#clock = clock;
    this.#swarm = deps.swarm;
    this.swarm = deps.swarm;
    this.#fault = fault;
    const roster = new Roster({ heartbeatMs, random: Math.random });
    const sessions = new Sessions((session) => this.#endings.tooSlow(session));
    const news = new OperatorNews(deps);
    const preheats = new Preheats((peer, message) => sessions.sendTo(peer, message));
    const introductions = new Introductions(roster);
    const traffic = new Traffic();
    const { epoch } = this;
    // To tell the roster or the swarm, or to refuse a session, may lead to any of these parts.
    const swarm = (event: SwarmEvent) => this.#tellSwarm(event);
    const refuse: SessionHost['refuse'] = (session, code, message) => this.#endings.refuse(session, code, message);
    const tell = (event: RosterEvent) => this.#tellRoster(event);
    const shared = { sessions, roster, news, introductions, membership, clock, tell, swarm, refuse };
    const ports = new PortTests({ ...shared, fault, ...(ask && { ask }) });
    const reception = new Reception({ ...shared, epoch, version, heartbeatMs, ports });
    this.roster = roster;
    this.#roster = roster;
    this.preheats = preheats;
    this.#preheats = preheats;
    this.traffic = traffic;
    this.#sessions = sessions;
    this.#news = news;
    this.#ports = ports;
    this.#reception = reception;
    this.#endings = new Endings(shared);
    this.#heartbeats = new Heartbeats({ ...shared, traffic });
    this.#rotation = new Rotation({ ...shared, log });
    this.#rosterEffects = new RosterEffects({ ...shared, reception, ports, preheats });
    this.#swarmEffects = new SwarmEffects({ ...shared, flushSoon: () => this.#pulse.flushSoon() });
    this.#summaries = new Summaries(roster, this.now(), (summary) => news.missing(summary));
    this.#rounds = new Rounds(this.now(), {
      paused: (ms) => this.#paused(ms),
      round: (now) => this.#round(now),
    });
    this.#pulse = new Pulse({
      clock,
      fault,
      now: () => this.now(),
      dueAt: () => Math.min(this.#rounds.dueAt, this.#swarm.nextTick),
      tick: (now) => this.#tick(now),
      flush: () => sessions.flush(),
    });
    this.#pulse.schedule();
  }

  /** Connections that are open, of peers and others. */
  get sessions(): number {
    return this.#sessions.size;
  }

  get unregistered(): number {
    return this.#sessions.unregistered.size;
  }

  /** Whole milliseconds: sums and differences of them are exact, so that what is due at a time is due then. */
  now(): number {
    return Math.trunc(this.#clock.monotonic());
  }

  /** Has those of the connected peers that it chooses fetch an image. Throws as `Preheats.order`. */
  preheat(request: PreheatRequest): Order {
    const id = randomBytes(8).toString('hex');
    return this.#preheats.order(id, request, candidatesAmong(this.roster.members()), this.now());
  }

  /** As `Preheats.cancel`. */
  cancelPreheat(id: string): Order | undefined {
    return this.#preheats.cancel(id, this.now());
  }

  /** Takes a connection from `from`, and speaks first. */
  accept(socket: SessionSocket, from: string): void {
    const session = this.#reception.accept(socket, from, this.#host);
    if (this.#over) this.#endings.refuse(session, 'SHUTTING_DOWN', 'the supernode is shutting down');
  }

  /** Somebody was refused who never had a session. */
  turnedAway(from: string, code: RefusalCode, message: string): void {
    this.#endings.turnedAway(from, code, message);
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
    this.#rotation.changed(this.now());
  }

  /** Ends every session; roster and swarm stay what they were. */
  end(code: RefusalCode, message: string, closeCode: number): void {
    if (this.#over) return;
    this.#over = true;
    this.#pulse.stop();
    this.#ports.close();
    this.#endings.stop();
    for (const session of this.#sessions.all()) this.#sessions.end(session, code, message, closeCode);
  }

  #tellRoster(event: RosterEvent): void {
    const now = this.now();
    this.#noticed(this.#roster.apply(event, now), now);
  }

  #noticed(notices: readonly RosterNotice[], now: number): void {
    this.#rosterEffects.carryOut(notices, now);
    if (notices.length > 0) this.#pulse.schedule();
  }

  #tellSwarm(event: SwarmEvent): void {
    this.#decided(this.#swarm.apply(event, this.now()));
  }

  #decided(decisions: readonly Decision[]): void {
    this.#swarmEffects.carryOut(decisions);
    this.#pulse.schedule();
  }

  #tick(now: number): void {
    if (now - this.#swarm.nextTick >= SWARM_PAUSE_MS) this.#swarm.paused(now);
    this.#decided(this.#swarm.tick(now));
    this.#rounds.tick(now);
  }

  #round(now: number): void {
    this.#noticed(this.#roster.tick(now), now);
    this.#preheats.tick(now);
    this.#reception.endLate(now);
    this.#rotation.look(now);
    this.#summaries.look(now);
  }

  /** What peers have said meanwhile is still in their sockets. */
  #paused(ms: number): void {
    this.#roster.paused(ms);
    this.#news.paused(ms);
  }
}
