import type { Audit } from '../../base/audit.ts';
import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { asError, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ByteTotals, RoleMetrics } from '../../base/metrics.ts';
import { KiB } from '../../base/units.ts';
import { SupernodeFaulty, type RefusalCode } from '../protocol/errors.ts';
import type { Membership } from '../protocol/membership.ts';
import { CLOSE, type SessionSocket } from '../protocol/socket.ts';
import { PROTOCOL_VERSION } from '../protocol/version.ts';
import type { PeerId } from './events.ts';
import { firstLeaseAt } from './lease-numbers.ts';
import { Life, type SwarmPort } from './life.ts';
import { MAX_PEERS } from './limits.ts';
import { SupernodeMetrics } from './metrics.ts';
import { PreheatUnknown } from './preheat-errors.ts';
import type { PreheatRequest } from './preheat-order.ts';
import { preheatView, type PreheatSummary, type PreheatView } from './preheat-views.ts';
import type { ReachabilityOptions } from './reachability.ts';
import { Swarm, type PeerPart, type SwarmBlob, type SwarmOptions } from './swarm.ts';
import type { TrafficView } from './traffic.ts';
import { peersView, type PeersView } from './views.ts';

/** Connections that have not registered yet. */
export const MAX_UNREGISTERED = 2048;
/** Connections of those who have not proved that they are members, sessions or not: of one address, and of all. */
export const MAX_STRANGERS_PER_ADDRESS = 256;
export const MAX_STRANGERS = 4096;
/** All connections: those, and the sessions of as many peers as there may be. */
export const MAX_CONNECTIONS = MAX_PEERS + MAX_STRANGERS;
/** What one may say in a session before it has proved that it is a member, in bytes on the wire: a hello has some hundred. */
export const MAX_UNPROVED_BYTES = 16 * KiB;
/** Faults within so long: after one more the supernode gives up. */
export const MAX_FAULTS = 3;
export const FAULTS_MS = 60_000;

export interface SupernodeOptions {
  readonly membership: Membership;
  readonly heartbeatMs: number;
  /** Of the program. */
  readonly version: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: RoleMetrics;
  /** Is told who may not join. */
  readonly audit?: Audit | undefined;
  /** How long peers that come back after its start have until new leases are granted; undefined: as after any restart. */
  readonly settleMs?: number | undefined;
  /** How piece ports are tried; undefined: in clear. */
  readonly ask?: ReachabilityOptions['ask'] | undefined;
  /** For tests. */
  readonly makeSwarm?: (options: SwarmOptions) => SwarmPort;
  /** It has run into faults again and again, and ended its sessions. Undefined: it throws, which ends the process. */
  readonly onGivingUp?: (error: Error) => void;
}

/**
 * The supernode. All that it knows is soft state: after a fault in its own code (SUPERNODE_FAULT) it ends all sessions and
 * begins a new life, under a new epoch, with everything told to it again by the peers.
 */
export class Supernode {
  readonly #options: SupernodeOptions;
  readonly #metrics: SupernodeMetrics;
  readonly #startedAt: number;
  #life: Life;
  /** When the last faults were. */
  #faults: number[] = [];
  #closed = false;

  constructor(options: SupernodeOptions) {
    this.#options = options;
    this.#metrics = new SupernodeMetrics(options.metrics, () => this.#life.roster.counts());
    this.#startedAt = options.clock.now();
    this.#life = this.#begin(options.settleMs);
    options.membership.onChange(() => this.#guarded((life) => life.secretsChanged()));
  }

  /** Of its present life. */
  get epoch(): string {
    return this.#life.epoch;
  }

  /** Whether one more connection may be taken. */
  get hasRoom(): boolean {
    return !this.#closed && this.#life.unregistered < MAX_UNREGISTERED;
  }

  /** Takes a connection from `from`, and speaks first. */
  accept(socket: SessionSocket, from: string): void {
    this.#guarded((life) => life.accept(socket, from));
  }

  /** A connection from `from` was refused before it could become a session. */
  turnedAway(from: string, code: RefusalCode, message: string): void {
    this.#guarded((life) => life.turnedAway(from, code, message));
  }

  /** As `/api/v1/peers` gives it. */
  peers(): PeersView {
    const life = this.#life;
    const factsOf = (peer: PeerId) => ({ blobs: life.swarm.wholesOf(peer), secrets: life.secretsOf(peer) });
    return peersView(life.roster, factsOf, this.#wallOffset);
  }

  /** The blobs of `/api/v1/blobs`. */
  blobs(): Iterable<SwarmBlob> {
    return this.#life.swarm.blobs();
  }

  /** At most so many of the blobs that are being downloaded. */
  activeBlobs(limit: number): SwarmBlob[] {
    return this.#life.swarm.activeBlobs(limit);
  }

  blob(digest: Digest): SwarmBlob | undefined {
    return this.#life.swarm.blob(digest);
  }

  /** At most so many of the blobs that a peer has, or a part of, or wants. */
  partsOf(peer: PeerId, limit: number): PeerPart[] {
    return this.#life.swarm.partsOf(peer, limit);
  }

  /** What the peers have told of their bytes. */
  traffic(): TrafficView {
    return this.#life.traffic.view(this.#wallOffset);
  }

  /** The same of one; undefined: it has told nothing. */
  trafficOf(instance: string): ByteTotals | undefined {
    return this.#life.traffic.of(instance);
  }

  /** Has peers fetch an image. Throws PREHEAT_NO_PEERS, PREHEAT_TOO_FEW_PEERS, PREHEAT_BUSY. */
  preheat(request: PreheatRequest): PreheatView {
    return preheatView(this.#life.preheat(request), this.#wallOffset);
  }

  /** Ends an order, unless it is over. Throws PREHEAT_UNKNOWN. */
  cancelPreheat(id: string): PreheatView {
    const order = this.#life.cancelPreheat(id);
    if (!order) throw new PreheatUnknown({ id });
    return preheatView(order, this.#wallOffset);
  }

  /** As `/api/v1/preheats` gives them: the newest first. */
  preheats(): PreheatSummary[] {
    return this.#life.preheats.all().map((order) => {
      const { peers: _, ...summary } = preheatView(order, this.#wallOffset);
      return summary;
    });
  }

  /** Throws PREHEAT_UNKNOWN. */
  preheatOf(id: string): PreheatView {
    const order = this.#life.preheats.find(id);
    if (!order) throw new PreheatUnknown({ id });
    return preheatView(order, this.#wallOffset);
  }

  /** As `/api/v1/status` gives it. */
  status() {
    return {
      role: 'supernode',
      version: this.#options.version,
      protocol: PROTOCOL_VERSION,
      epoch: this.epoch,
      since: new Date(this.#startedAt).toISOString(),
      sessions: this.#life.sessions,
      peers: this.#life.roster.counts(),
      swarm: this.#life.swarm.stats(),
      rotation: this.#life.rotation() ?? null,
    };
  }

  /** Ends every session, so that proxies look elsewhere at once. */
  close(): void {
    this.#closed = true;
    this.#life.end('SHUTTING_DOWN', 'the supernode is shutting down', CLOSE.goingAway);
  }

  /** What has to be added to a life's times for milliseconds since 1970. */
  get #wallOffset(): number {
    return this.#options.clock.now() - this.#life.now();
  }

  #begin(settleMs?: number): Life {
    const {
      membership,
      heartbeatMs,
      version,
      clock,
      log,
      audit,
      ask,
      makeSwarm = (of) => new Swarm(of),
    } = this.#options;
    const swarm = makeSwarm({
      now: Math.trunc(clock.monotonic()),
      random: Math.random,
      firstLease: firstLeaseAt(clock.now()),
      ...(settleMs !== undefined && { settleMs }),
    });
    const fault = (error: unknown) => this.#fault(life, error);
    const life = new Life({
      swarm,
      membership,
      heartbeatMs,
      version,
      clock,
      log,
      audit,
      ask,
      metrics: this.#metrics,
      fault,
    });
    return life;
  }

  #guarded(task: (life: Life) => void): void {
    const life = this.#life;
    try {
      task(life);
    } catch (error) {
      this.#fault(life, error);
    }
  }

  #fault(life: Life, error: unknown): void {
    if (life !== this.#life || this.#closed) return;
    const { log, clock, onGivingUp } = this.#options;
    this.#metrics.fault();
    const what = `a fault in the supernode, which begins anew: ${describeError(error)}`;
    const todo = 'report it as a bug, with the stack; proxies register again by themselves';
    log.error({ code: SupernodeFaulty.code, stack: asError(error).stack, todo }, what);
    life.end('SUPERNODE_FAULT', 'the supernode ran into a fault and begins anew', CLOSE.restart);
    const now = clock.monotonic();
    this.#faults = [...this.#faults.filter((at) => now - at < FAULTS_MS), now];
    this.#life = this.#begin();
    if (this.#faults.length <= MAX_FAULTS) return;
    this.close();
    const givingUp = new SupernodeFaulty({ faults: this.#faults.length, withinMs: FAULTS_MS }, { cause: error });
    if (!onGivingUp) throw givingUp;
    onGivingUp(givingUp);
  }
}
