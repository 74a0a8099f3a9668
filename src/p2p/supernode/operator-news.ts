import type { Audit } from '../../base/audit.ts';
import type { Logger } from '../../base/log.ts';
import { PAUSED_TODO, REFUSALS, type RefusalCode } from '../protocol/errors.ts';
import type { Hello } from './admission.ts';
import type { BlamedDecision, RejectCode } from './events.ts';
import type { SupernodeMetrics } from './metrics.ts';
import type { MemberView, PeerState, Refused } from './roster-events.ts';
import type { Summary } from './summary.ts';

/** About a peer that has come into such a state. */
const STATE_TODO: Partial<Record<PeerState, string>> = {
  unreachable:
    'open its piece port to the other nodes (a firewall?), or set its peer.advertise to an address that they can reach; it is tried again by itself',
  stale: 'nothing, if it comes back; else see whether that node, or the network to it, hangs',
};

export interface OperatorNewsDeps {
  readonly log: Logger;
  readonly metrics: Pick<SupernodeMetrics, 'refused' | 'rejectedEvent'>;
  /** Is told who may not join. */
  readonly audit?: Audit | undefined;
}

/**
 * What an operator is told of the peers: lines of the log with what to do about them, counters, lines of the audit. It decides
 * nothing but what is worth a line, and how loud.
 */
export class OperatorNews {
  readonly #log: Logger;
  readonly #metrics: OperatorNewsDeps['metrics'];
  readonly #audit: Audit | undefined;

  constructor({ log, metrics, audit }: OperatorNewsDeps) {
    this.#log = log;
    this.#metrics = metrics;
    this.#audit = audit;
  }

  /** A peer's state, or the reason for it, has changed; `was` undefined: it is new. */
  stateChanged({ registration, state, reason }: MemberView, was: PeerState | undefined): void {
    const { peer, host, addresses } = registration;
    const code = `PEER_${state.toUpperCase()}`;
    // Each peer is unreachable until its port was tested.
    const level = state === 'ready' || state === 'left' || was === undefined ? 'info' : 'warn';
    this.#log[level](
      { code, peer, host, addresses, ...(level === 'warn' && { todo: STATE_TODO[state] }) },
      `a peer ${was === undefined ? 'has registered' : `is ${state}`}: ${reason || 'it can be reached'}`,
    );
  }

  /** A registration or session was refused: counted each time, and said the first time of its kind. */
  refused({ address, host, code, message, count }: Refused): void {
    this.#metrics.refused(code);
    if (count > 1) return;
    const who = { address, ...(host !== '' && { host }) };
    this.#log.warn({ code, ...who, todo: REFUSALS[code] }, `a proxy was refused: ${message}`);
  }

  /** Somebody who is no member, or has not shown that it is one, may not join. */
  denied(from: string, code: RefusalCode): void {
    this.#audit?.record({ role: 'session', client: from, decision: 'denied', code });
  }

  /** What a peer said of pieces and blobs was not believed. */
  rejectedEvent(code: RejectCode): void {
    this.#metrics.rejectedEvent(code);
  }

  /** A peer, on `host` if that is known, has read other bytes from the origin than they are. */
  readsWrongBytes({ peer, digest, piece, right }: BlamedDecision, host: string | undefined): void {
    const todo =
      'look for bad memory, a bad disk, or something on that node’s way to the registry that changes what it reads';
    this.#log.warn(
      { code: 'READS_WRONG_BYTES', peer, host, digest, piece, right, todo },
      'a peer has read other bytes from the origin than they are: it gives nothing to others for a while',
    );
  }

  /** A peer of another version was taken; `warning` says how they differ. */
  versionsDiffer({ peer, host, version }: Pick<Hello, 'peer' | 'host' | 'version'>, warning: string): void {
    this.#log.info({ code: 'PROTOCOL_VERSION_DIFFERS', peer, host, version }, warning);
  }

  /** This process did not run for so long. */
  paused(ms: number): void {
    this.#log.warn({ code: 'SUPERNODE_PAUSED', ms, todo: PAUSED_TODO }, `this process did not run for ${ms} ms`);
  }

  /** Who is not ready, and who was refused. */
  missing({ counts, message, todo }: Summary): void {
    this.#log.warn({ code: 'PEERS_MISSING', ...counts, todo }, message);
  }
}
