import type { Clock } from '../../base/clock.ts';
import type { Membership } from '../protocol/membership.ts';
import { dialBackOf, type DialBack } from './dial-back.ts';
import { SupernodeLost } from './session-errors.ts';
import type { SelfDescription } from './session-hello.ts';
import { SessionLink, type Welcome } from './session-link.ts';
import type { Candidate } from './supernode-dial.ts';

/** What a proxy learns that could register. */
export interface Visit {
  /** `host:port` of the supernode that was asked. */
  readonly address: string;
  /** Of the supernode's program, and of the protocol that it speaks. */
  readonly version: string;
  readonly protocol: string;
  /** How the protocol versions differ, where they do. */
  readonly warning: string | undefined;
  /** How far this node's clock is ahead of the supernode's. */
  readonly clockSkewMs: number;
  /** Of the hello and its answer. */
  readonly rttMs: number;
  /** Whether it could reach the piece port. */
  readonly dialBack: DialBack;
}

export interface VisitOptions {
  /** Asked once, with the local address of the connection. */
  readonly self: (localAddress: string | undefined) => SelfDescription;
  readonly membership: Membership;
  readonly clock: Clock;
}

/**
 * Does all that a registration takes, membership and all, has the supernode try the piece port, and leaves: it appears nowhere
 * as a peer. Whoever wants to be reached answers `/v1/whoami` at the addresses of `self`. Takes 30 s at most. Throws what a session's
 * opening throws: SUPERNODE_UNREACHABLE, SUPERNODE_SILENT, SUPERNODE_NOT_HAWKER, SUPERNODE_NOT_TRUSTED, or a refusal.
 */
export async function visitSupernode(candidate: Candidate, { self, membership, clock }: VisitOptions): Promise<Visit> {
  const { address } = candidate;
  const socket = await candidate.open();
  return new Promise((resolve, reject) => {
    let welcome: Welcome | undefined;
    let clockSkewMs = 0;
    let dialBack: DialBack | undefined;
    const link = new SessionLink({
      address,
      socket,
      self: self(socket.localAddress),
      membership,
      clock,
      visit: true,
      listener: {
        opened: (_link, message) => {
          welcome = message;
          clockSkewMs = Math.round(clock.now() - message.time - link.rttMs / 2);
        },
        message: (_link, message) => {
          if (message.t !== 'tested') return;
          dialBack = dialBackOf(message);
          link.end(new SupernodeLost({ address, why: 'all has been said' }));
        },
        ended: (_link, error) => {
          if (!welcome || !dialBack) {
            reject(error);
            return;
          }
          const { version, protocol, rttMs } = link;
          resolve({ address, version, protocol, warning: welcome.warning, clockSkewMs, rttMs, dialBack });
        },
      },
    });
  });
}
