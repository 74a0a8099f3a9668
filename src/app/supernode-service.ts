import { systemClock } from '../base/clock.ts';
import type { Config } from '../config/config.ts';
import { ProcessAudit } from './audit.ts';
import { startClusterTls } from './cluster-tls.ts';
import { Lifecycle } from './lifecycle.ts';
import { loadMembership, reloadMembership } from './membership.ts';
import { Reloads } from './reloads.ts';
import type { Service } from './service.ts';
import { startSupernodeRole, type SupernodeDeps } from './supernode.ts';

/** Starts a supernode of its own. Rejects as `startUp`. */
export async function startSupernode(
  config: Config,
  { log, sockets, settleMs }: Pick<SupernodeDeps, 'log' | 'sockets' | 'settleMs'>,
): Promise<Service> {
  const reloads = new Reloads();
  const lifecycle = new Lifecycle({ log, clock: systemClock });
  const audit = await ProcessAudit.start(config, { log, clock: systemClock, lifecycle, reloads });
  const tls = await startClusterTls(config, { log, lifecycle, reloads });
  const membership = await loadMembership(config);
  reloadMembership(membership, reloads, log);
  const { address } = await startSupernodeRole(config, {
    log,
    lifecycle,
    audit,
    membership,
    tls,
    reloads,
    sockets,
    settleMs,
  });
  return { addresses: [address], reload: (next) => reloads.run(next), stop: () => lifecycle.stop() };
}
