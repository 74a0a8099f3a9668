import { systemClock } from '../base/clock.ts';
import { networkCandidates } from '../p2p/peer/supernode-dial.ts';
import type { Config } from '../config/config.ts';
import { ProcessAudit } from './audit.ts';
import { startClusterTls } from './cluster-tls.ts';
import { Lifecycle } from './lifecycle.ts';
import { loadMembership, reloadMembership } from './membership.ts';
import { Peer } from './peer.ts';
import { startProxy } from './proxy.ts';
import { Reloads } from './reloads.ts';
import type { Service, ServiceDeps } from './service.ts';

/** Starts a node's proxy as a member of a cluster; it looks for its supernode over the network. Rejects as `startUp`. */
export async function startProxyService(config: Config, { log, sockets }: ServiceDeps): Promise<Service> {
  const clock = systemClock;
  const reloads = new Reloads();
  const lifecycle = new Lifecycle({ log, clock });
  const audit = await ProcessAudit.start(config, { log, clock, lifecycle, reloads });
  const tls = await startClusterTls(config, { log, lifecycle, reloads });
  const membership = await loadMembership(config);
  reloadMembership(membership, reloads, log);
  const { supernodes } = config;
  const candidates = networkCandidates(clock, undefined, tls);
  const around = { log, lifecycle, reloads, audit, membership, tls, sockets, candidates, supernodes };
  const addresses = await startProxy(config, {
    log,
    lifecycle,
    reloads,
    audit,
    sockets,
    cluster: (parts) => Peer.create(config, { ...around, ...parts }),
  });
  return { addresses, reload: (next) => reloads.run(next), stop: () => lifecycle.stop() };
}
