import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import { codeOf, describeError } from '../base/errors.ts';
import { programVersion } from '../app/version.ts';
import type { SelfDescription } from '../p2p/peer/session-hello.ts';
import { networkCandidates, type Candidate } from '../p2p/peer/supernode-dial.ts';
import type { Visit } from '../p2p/peer/visit.ts';
import { compatibility } from '../p2p/protocol/compatibility.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import type { Membership } from '../p2p/protocol/membership.ts';
import { PROTOCOL_VERSION } from '../p2p/protocol/version.ts';
import { VISIT_MS } from './bounds.ts';
import type { Finding } from './check.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped } from './findings.ts';
import type { HttpLook } from './supernode-http.ts';
import { hostPort } from './supernode-tcp.ts';
import { visitWithin } from './visit-within.ts';

/** The supernode speaks the protocol, and does not take this node for a member, or is not taken for one. */
const ABOUT_MEMBERSHIP = new Set([
  'NOT_A_MEMBER',
  'SUPERNODE_NOT_TRUSTED',
  'CERTIFICATE_NEEDED',
  'CERTIFICATE_REFUSED',
]);
const NO_SESSION = 'proxies of this node get no session there, and go on without that supernode';
const NO_MEMBER = 'this node and that supernode are not of the same cluster: it takes no part in the swarm there';

/** What a visitor says of itself: nobody, for a proxy that runs keeps its own name. */
export function visitor(addresses: readonly string[]): SelfDescription {
  const [peer, instance] = [randomBytes(10).toString('hex'), randomBytes(8).toString('hex')];
  return { peer, instance, version: programVersion(), host: hostname(), addresses, zone: '' };
}

export interface SessionLook {
  readonly protocol: Finding;
  readonly membership: Finding;
  readonly visit: Visit | undefined;
}

/** Protocol and membership, by opening a session with the supernode as a proxy does, and leaving it again. */
export async function checkSession(
  url: URL,
  { ip, version, protocol }: Pick<HttpLook, 'version' | 'protocol'> & { ip: string },
  around: { membership: Membership | undefined; tls: ClusterTls | undefined; clock: Clock },
): Promise<SessionLook> {
  const aboutProtocol = { code: 'SUPERNODE_PROTOCOL', title: `protocol with ${hostPort(url)}` };
  const aboutMembership = { code: 'MEMBERSHIP', title: `membership at ${hostPort(url)}` };
  const theirs = `Hawker ${version} there, protocol ${protocol ?? 'unknown'}; ${programVersion()}, protocol ${PROTOCOL_VERSION} here`;
  if (!around.membership) {
    const why = 'the join secret cannot be read (above)';
    const fits = protocol !== undefined && compatibility({ proxy: PROTOCOL_VERSION, supernode: protocol }).works;
    return {
      protocol: fits ? ok(aboutProtocol, `${theirs} (a session was not tried)`) : skipped(aboutProtocol, why),
      membership: skipped(aboutMembership, why),
      visit: undefined,
    };
  }
  try {
    const { membership, tls, clock } = around;
    const candidate = await candidateAt(url, ip, clock, tls);
    const visit = await visitWithin(VISIT_MS, candidate, { self: () => visitor([]), membership, clock });
    const warning = visit.warning === undefined ? '' : `: ${visit.warning}`;
    const both = `Hawker ${visit.version} there, protocol ${visit.protocol}; ${programVersion()}, protocol ${PROTOCOL_VERSION} here`;
    const proved = provedBy(around.membership, tls);
    return { protocol: ok(aboutProtocol, both + warning), membership: ok(aboutMembership, proved), visit };
  } catch (error) {
    if (ABOUT_MEMBERSHIP.has(codeOf(error))) {
      return {
        protocol: ok(aboutProtocol, theirs),
        membership: failedBy(aboutMembership, error, NO_MEMBER),
        visit: undefined,
      };
    }
    return {
      protocol: failedBy(aboutProtocol, error, NO_SESSION),
      membership: skipped(aboutMembership, `no session with ${hostPort(url)}: ${describeError(error)}`),
      visit: undefined,
    };
  }
}

function provedBy({ isOpen }: Membership, tls: ClusterTls | undefined): string {
  const certificates = tls ? ['each has shown the other a certificate of their CA'] : [];
  const secret = isOpen ? [] : ['each has proved to the other that it has the join secret'];
  const both = [...certificates, ...secret].join('; ');
  return both || 'the cluster is open, without a join secret: on loopback everybody takes part';
}

/** The way to that supernode at the address that has answered. */
export async function candidateAt(url: URL, ip: string, clock: Clock, tls: ClusterTls | undefined): Promise<Candidate> {
  const [candidate] = await networkCandidates(clock, async () => [ip], tls)(url.origin);
  return candidate!;
}
