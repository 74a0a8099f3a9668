import type { Static } from '@sinclair/typebox';
import type { Clock } from '../base/clock.ts';
import { PeersAnswer } from '../app/answers.ts';
import type { ApiTls } from '../app/cluster-tls.ts';
import type { Visit } from '../p2p/peer/visit.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import type { Membership } from '../p2p/protocol/membership.ts';
import { ask, isUnauthorized, notRight, read, type Answer } from './ask.ts';
import type { Finding } from './check.ts';
import { ApiTokenRefused, ApiUnreadable } from './errors.ts';
import { failedBy } from './failed-by.ts';
import { ok, skipped } from './findings.ts';
import { checkHttp } from './supernode-http.ts';
import { checkName, type Resolve } from './supernode-name.ts';
import { checkSession, type SessionLook } from './supernode-session.ts';
import { checkTcp, hostPort } from './supernode-tcp.ts';
import { checkTls } from './supernode-tls.ts';

export type Roster = Static<typeof PeersAnswer>;

/** One supernode of the list, step by step, each of which needs the one before. */
export interface SupernodeLook {
  readonly url: URL;
  readonly findings: readonly Finding[];
  /** The address at which it answers. */
  readonly ip: string | undefined;
  readonly version: string;
  readonly protocol: string | undefined;
  /** Who it says is there; asked before this doctor's own visit. */
  readonly roster: Roster | undefined;
  readonly visit: Visit | undefined;
}

export interface SupernodesAround {
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly membership: Membership | undefined;
  /** What this configuration has for a supernode's API. */
  readonly authorization: string | undefined;
  /** The cluster's own certificates, for sessions and for the API. */
  readonly tls: ClusterTls | undefined;
  readonly apiTls: ApiTls | undefined;
  /** They are set, and cannot be used. */
  readonly lacksCertificates: boolean;
}

const STEPS = [
  'SUPERNODE_TCP',
  'SUPERNODE_HANDSHAKE',
  'SUPERNODE_HTTP',
  'SUPERNODE_PROTOCOL',
  'MEMBERSHIP',
  'SUPERNODE_API',
] as const;
const TITLES: Readonly<Record<(typeof STEPS)[number], string>> = {
  SUPERNODE_TCP: 'TCP to',
  SUPERNODE_HANDSHAKE: 'TLS with',
  SUPERNODE_HTTP: 'HTTP at',
  SUPERNODE_PROTOCOL: 'protocol with',
  MEMBERSHIP: 'membership at',
  SUPERNODE_API: 'API of',
};

/** Name, TCP, TLS (where the URL says https), HTTP, protocol, membership, API. */
export async function lookAtSupernode(text: string, around: SupernodesAround): Promise<SupernodeLook> {
  const url = new URL(text);
  const nothing = { url, ip: undefined, version: '', protocol: undefined, roster: undefined, visit: undefined };
  const { finding: name, addresses } = await checkName(url, around);
  if (addresses.length === 0)
    return { ...nothing, findings: [name, ...after(url, undefined, `${url.hostname} has no address`)] };
  const { finding: tcp, open } = await checkTcp(url, addresses);
  if (open.length === 0)
    return { ...nothing, findings: [name, tcp, ...after(url, 'SUPERNODE_TCP', `no connection to ${hostPort(url)}`)] };
  const isTls = url.protocol === 'https:';
  if (isTls && around.lacksCertificates) {
    const why = 'the certificates of this node cannot be used (above)';
    return { ...nothing, findings: [name, tcp, ...after(url, 'SUPERNODE_TCP', why)] };
  }
  const tls = isTls ? await checkTls(url, open, around.tls) : undefined;
  const before = [name, tcp, ...(tls ? [tls.finding] : [])];
  if (tls?.open.length === 0) {
    return {
      ...nothing,
      findings: [...before, ...after(url, 'SUPERNODE_HANDSHAKE', `no TLS session with ${hostPort(url)}`)],
    };
  }
  const known = { authorization: around.authorization, tls: around.apiTls };
  const http = await checkHttp(url, tls?.open ?? open, known);
  const { ip, version, protocol } = http;
  if (ip === undefined) {
    return {
      ...nothing,
      findings: [...before, http.finding, ...after(url, 'SUPERNODE_HTTP', `no supernode answers at ${hostPort(url)}`)],
    };
  }
  const lists = await ask(`${url.origin}/api/v1/peers`, { ip, ...known });
  const roster = read(lists, PeersAnswer);
  const session = await checkSession(url, { ip, version, protocol }, around);
  const findings = [
    ...before,
    http.finding,
    session.protocol,
    session.membership,
    apiFinding(url, lists, around, session),
  ];
  return { url, findings, ip, version, protocol: session.visit?.protocol ?? protocol, roster, visit: session.visit };
}

/** Whether it tells this node who is there. */
function apiFinding(
  url: URL,
  lists: Answer,
  { authorization }: SupernodesAround,
  { membership }: SessionLook,
): Finding {
  const about = { code: 'SUPERNODE_API', title: `${TITLES.SUPERNODE_API} ${hostPort(url)}` };
  if (read(lists, PeersAnswer)) return ok(about, 'it tells who is there');
  if (membership.status !== 'ok') return skipped(about, 'this node is no member there (above)');
  const error = isUnauthorized(lists)
    ? new ApiTokenRefused({ url: url.origin, sent: authorization !== undefined })
    : new ApiUnreadable({ url: url.origin, why: notRight(lists) });
  return failedBy(about, error, 'what is below needs what that supernode knows of the others, and is not known');
}

/** The steps that come after that one. */
function after(url: URL, step: (typeof STEPS)[number] | undefined, why: string): Finding[] {
  const rest = step === undefined ? STEPS : STEPS.slice(STEPS.indexOf(step) + 1);
  const isPlain = url.protocol === 'http:';
  return rest
    .filter((code) => code !== 'SUPERNODE_HANDSHAKE' || !isPlain)
    .map((code) => skipped({ code, title: `${TITLES[code]} ${hostPort(url)}` }, why));
}
