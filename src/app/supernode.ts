import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { systemClock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { Config } from '../config/config.ts';
import { isLoopback } from '../config/formats.ts';
import { loadAssets } from '../dashboard/assets.ts';
import { dashboardRoutes } from '../dashboard/routes.ts';
import { createApiServer } from '../http/api-server.ts';
import type { ClusterTls } from '../p2p/protocol/cluster-tls.ts';
import type { Membership } from '../p2p/protocol/membership.ts';
import { endOf } from '../p2p/protocol/tls-files.ts';
import { prepareToHear } from '../p2p/protocol/messages.ts';
import { whoamiBy } from '../p2p/protocol/whoami.ts';
import { supernodeApi } from '../p2p/supernode/api.ts';
import { MAX_CONNECTIONS, Supernode } from '../p2p/supernode/supernode.ts';
import type { ProcessAudit } from './audit.ts';
import type { Lifecycle } from './lifecycle.ts';
import { supernodeMetrics } from './metrics.ts';
import { loadApiAccess } from './operator.ts';
import type { Reloads } from './reloads.ts';
import type { ListeningAddress } from './service.ts';
import { hostOf, Sockets } from './sockets.ts';
import { programVersion } from './version.ts';

export interface SupernodeDeps {
  readonly log: Logger;
  readonly lifecycle: Lifecycle;
  readonly audit?: ProcessAudit | undefined;
  readonly membership: Membership;
  readonly reloads: Reloads;
  /** Undefined: it speaks plain HTTP. */
  readonly tls?: ClusterTls | undefined;
  /** Sockets that were handed down. */
  readonly sockets?: Sockets | undefined;
  /** How long peers that come back have until new leases are granted; undefined: as after any restart. */
  readonly settleMs?: number | undefined;
  /** See `SupernodeOptions`. */
  readonly onGivingUp?: (error: Error) => void;
}

/** Composes a supernode: the swarm and the roster, their sessions and their API. */
export async function startSupernodeRole(
  config: Pick<Config, 'supernode' | 'cluster'>,
  { log, lifecycle, audit, membership, tls, reloads, sockets = new Sockets(), settleMs, onGivingUp }: SupernodeDeps,
): Promise<{ supernode: Supernode; address: ListeningAddress }> {
  const clock = systemClock;
  const metrics = supernodeMetrics();
  audit?.countOn(metrics);
  if (tls) metrics.showCertificateEnd(() => endOf(tls.material).at);
  const { listen, heartbeatMs } = config.supernode;
  const access = isLoopback(listen.host) ? 'loopback' : await loadApiAccess(config, { membership, reloads, log });
  // On loopback the API asks for no token, whatever is configured.
  if (access === 'loopback') reloads.add({ keys: ['cluster.operatorTokenFile'], take: async () => undefined });
  const version = programVersion();
  const supernode = new Supernode({
    membership,
    heartbeatMs,
    version,
    clock,
    log,
    metrics,
    audit,
    settleMs,
    ask: whoamiBy(tls),
    ...(onGivingUp && { onGivingUp }),
  });
  const assets = await loadAssets();
  const app = await lifecycle.start({
    name: 'supernode',
    start: async () => {
      const app = createApiServer({ maxConnections: MAX_CONNECTIONS, ...(tls && { https: tls.forAnyone }) });
      const more = (inside: FastifyInstance) => dashboardRoutes(inside, { supernode, clock, log, assets });
      await app.register(supernodeApi, { supernode, metrics, access, audit, tls, clock, log, more });
      const where = { address: listen, key: 'supernode.listen' };
      await sockets.listen(
        'supernode',
        where,
        (at) => app.listen(at),
        () => hostOf(app.server),
      );
      return app;
    },
    release: (app) => {
      app.server.close();
      supernode.close();
    },
    stop: (app) => app.close(),
  });
  void prepareToHear('proxy');
  const { port } = app.server.address() as AddressInfo;
  return { supernode, address: { role: 'supernode', host: listen.host, port } };
}
