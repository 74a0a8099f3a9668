import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiTls, loadClusterTls } from '../app/cluster-tls.ts';
import { loadMembership } from '../app/membership.ts';
import { apiAuthorization } from '../app/operator.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import { MOST_SUPERNODES } from './bounds.ts';
import type { Around, Finding } from './check.ts';
import { checkClock } from './clock.ts';
import { checkPeers, checkRegistrations, checkVersions } from './cluster-wide.ts';
import { checkDialBack } from './dial-back.ts';
import { skipped, type Subject } from './findings.ts';
import { lookAtPieces } from './piece-port.ts';
import { checkRegistration } from './registration.ts';
import { checkMirror, checkOwnSupernode, lookAtProxy, type ProxyLook } from './services.ts';
import { checkSameConfig, checkSessions, sessionOf } from './sessions.ts';
import { resolveAll, type Resolve } from './supernode-name.ts';
import { lookAtSupernode, type SupernodeLook } from './supernodes.ts';

/** What `checkCluster` finds out, as far as it is known without a configuration. */
export const CLUSTER_CHECKS: readonly Subject[] = [
  { code: 'PROXY_API', title: "this node's proxy" },
  { code: 'MIRROR', title: 'the mirror' },
  { code: 'PIECE_PORT', title: 'the piece port' },
  { code: 'SUPERNODE_HERE', title: "this node's supernode" },
  { code: 'SUPERNODE_NAME', title: 'names of the supernodes' },
  { code: 'SUPERNODE_TCP', title: 'TCP to the supernodes' },
  { code: 'SUPERNODE_HANDSHAKE', title: 'TLS with the supernodes' },
  { code: 'SUPERNODE_HTTP', title: 'HTTP at the supernodes' },
  { code: 'SUPERNODE_PROTOCOL', title: 'protocol with the supernodes' },
  { code: 'MEMBERSHIP', title: 'membership at the supernodes' },
  { code: 'SUPERNODE_API', title: "the supernodes' API" },
  { code: 'SESSION', title: "the proxy's session with each supernode" },
  { code: 'CLOCK', title: 'clock against the supernode' },
  { code: 'REGISTRATION', title: 'this node at the supernode' },
  { code: 'DIAL_BACK', title: "dial-back to this node's piece port" },
  { code: 'VERSIONS', title: 'versions across the cluster' },
  { code: 'REGISTRATIONS', title: 'registrations refused by the supernode' },
  { code: 'PEERS', title: 'other peers' },
];

/**
 * From this node's services, step by step to each supernode, to what the supernode says of all: in the order of what needs what,
 * so that the first failure is the root of those after it.
 */
export async function checkCluster(around: Around, resolve: Resolve = resolveAll): Promise<Finding[]> {
  const { config, clock } = around;
  const membership = await loadMembership(config).catch(() => undefined);
  const authorization = await apiAuthorization(config).catch(() => undefined);
  const certificates = await lookAtCertificates(config);
  const { tls } = certificates;
  const steps = { clock, resolve, membership, authorization, ...certificates };
  const ofServices = lookAtServices(around, membership, tls);
  const supernodes = await Promise.all(
    config.supernodes.slice(0, MOST_SUPERNODES).map((url) => lookAtSupernode(url, steps)),
  );
  const { proxy, instance, findings } = await ofServices;
  const chosen = chosenOf(supernodes, proxy, config.supernodes);
  const peer = proxy.status ? proxy.status.peer : await keptId(around);
  const self = { peer, instance, isRunning: proxy.status !== undefined };
  // After the roster was read: what is tried below may be refused, and be listed there.
  const dialBack = await checkDialBack({ config, clock, membership, tls, proxy, supernode: chosen });
  return [
    ...findings,
    ...checkSameConfig(config, proxy),
    ...(supernodes.length === 0 ? [alone()] : supernodes.flatMap(({ findings }) => findings)),
    ...checkSessions(config, proxy),
    checkClock(chosen?.url.host, skewOf(chosen, proxy, config.supernodes)),
    checkRegistration(chosen, self, clock),
    dialBack,
    checkVersions(chosen, clock),
    checkRegistrations(chosen, clock),
    checkPeers(chosen, peer, clock),
  ];
}

/** Undefined where there are none, or where they cannot be used: then the configuration's own check has said why. */
async function lookAtCertificates(config: Around['config']) {
  const tls = await loadClusterTls(config).catch(() => undefined);
  const ofApi = await apiTls(config).catch(() => undefined);
  return { tls, apiTls: ofApi, lacksCertificates: config.cluster.tls !== undefined && !tls };
}

async function lookAtServices(
  around: Around,
  membership: Awaited<ReturnType<typeof loadMembership>> | undefined,
  tls: ClusterTls | undefined,
) {
  const [proxy, ownSupernode] = await Promise.all([lookAtProxy(around), checkOwnSupernode(around)]);
  const [mirror, pieces] = await Promise.all([
    checkMirror(around, proxy),
    lookAtPieces(around, proxy, { membership, tls }),
  ]);
  const findings = [proxy.finding, ...mirror, pieces.finding, ownSupernode];
  return { proxy, instance: pieces.instance, findings };
}

/** The one that the proxy has its session with; else the first with which it could have one, else that says anything. */
function chosenOf(
  looks: readonly SupernodeLook[],
  { status }: ProxyLook,
  urls: readonly string[],
): SupernodeLook | undefined {
  const connected = looks.find(
    ({ roster }, index) => roster && status && sessionOf(status, index, urls)?.state === 'connected',
  );
  return connected ?? looks.find(({ visit, roster }) => visit && roster) ?? looks.find(({ roster }) => roster);
}

/** From this doctor's visit; else as the proxy has it of its session. */
function skewOf(chosen: SupernodeLook | undefined, { status }: ProxyLook, urls: readonly string[]): number | undefined {
  if (chosen?.visit) return chosen.visit.clockSkewMs;
  const sessions = urls.map((_, index) => status && sessionOf(status, index, urls));
  return sessions.find((session) => session?.state === 'connected')?.clockSkewMs ?? undefined;
}

function alone(): Finding {
  return skipped(
    { code: 'SUPERNODE_NAME', title: 'supernodes' },
    'the list is empty: this node is alone, by its configuration',
  );
}

/** The id that this node's proxy goes by, when it runs. */
async function keptId({ config, root }: Around): Promise<string | undefined> {
  const text = await readFile(join(root, config.store.dir, 'v1', 'peer-id'), 'utf8').catch(() => '');
  return text.trim() || undefined;
}
