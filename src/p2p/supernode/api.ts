import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Audit } from '../../base/audit.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { RoleMetrics } from '../../base/metrics.ts';
import type { ApiAccess } from '../../http/api-access.ts';
import { opsRoutes } from '../../http/ops-routes.ts';
import { StrangerLimit } from '../../http/stranger-limit.ts';
import { TLS_HANDSHAKE_RECORD, TlsPort } from '../../http/tls-port.ts';
import type { ClusterTls } from '../protocol/cluster-tls.ts';
import { REFUSAL_HEADER } from '../protocol/socket.ts';
import { jsonParts } from './json-parts.ts';
import { preheatRoutes } from './preheat-routes.ts';
import { MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS, type Supernode } from './supernode.ts';
import { SESSION_PATH, takeSessions } from './upgrade.ts';

export interface SupernodeApiOptions {
  readonly supernode: Supernode;
  readonly metrics: RoleMetrics;
  /** See `OpsOptions`; sessions prove themselves. */
  readonly access: ApiAccess | 'loopback';
  /** Is told who may not ask. */
  readonly audit?: Audit | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** The server was made with it (`forAnyone`); undefined: it speaks plain HTTP. */
  readonly tls?: ClusterTls | undefined;
  /** More that is served behind the same access: the dashboard. */
  readonly more?: ((app: FastifyInstance) => void) | undefined;
}

/**
 * A fastify plugin: all that a supernode answers. `/api/v1/peers`, `/api/v1/blobs`, `/api/v1/status`, `/metrics`, `/livez`,
 * `/readyz`, orders to preheat (preheat-routes.ts), and sessions at `/api/v1/session`, which end with 1001 when the server closes.
 */
export function supernodeApi(app: FastifyInstance, options: SupernodeApiOptions, done: () => void): void {
  const { supernode, metrics, access, audit, tls, clock, log, more } = options;
  const limits = { perAddress: MAX_STRANGERS_PER_ADDRESS, overall: MAX_STRANGERS };
  const strangers = new StrangerLimit(app.server, limits, { clock, log });
  const sessions = { loopbackOnly: access === 'loopback', needsCertificate: tls !== undefined, strangers };
  takeSessions(app.server, supernode, sessions);
  const port = tls ? guardTls(app.server as TlsServer, supernode, tls) : undefined;
  if (!tls) noticeTls(app, supernode);
  app.addHook('preClose', async () => {
    supernode.close();
    port?.close();
  });
  app.get('/api/v1/peers', (_request, reply) => sendLists(reply, { ...supernode.peers() }));
  app.get('/api/v1/blobs', (_request, reply) => sendLists(reply, { blobs: supernode.blobs() }));
  preheatRoutes(app, supernode);
  more?.(app);
  // Its hooks hold for the routes above too.
  opsRoutes(app, { metrics, access, audit, notReady: () => [], status: () => supernode.status() }, done);
}

function sendLists(reply: FastifyReply, lists: Readonly<Record<string, Iterable<unknown>>>): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(jsonParts(lists));
}

/** Whoever fails to get a session here, for want of TLS or by what is wrong with it, is missing from the peers: the roster says why. */
function guardTls(server: TlsServer, supernode: Supernode, tls: ClusterTls): TlsPort {
  tls.keep(server, { resumes: false });
  return new TlsPort(server, {
    refusalHeader: REFUSAL_HEADER,
    plain: (from, beginning) => {
      // Others who ask without TLS, as probes do, are no proxies.
      if (beginning.startsWith(`GET ${SESSION_PATH} `))
        supernode.turnedAway(from, 'TLS_NEEDED', 'it speaks plain HTTP');
    },
    failed: (from, why) => {
      const message = `the TLS handshake came to nothing (${why}); it may not trust this supernode's certificate`;
      supernode.turnedAway(from, 'TLS_FAILED', message);
    },
  });
}

function noticeTls({ server }: FastifyInstance, supernode: Supernode): void {
  // What it is answered is fastify's part.
  server.on('clientError', (error: Error & { rawPacket?: Buffer }, socket) => {
    if (error.rawPacket?.[0] !== TLS_HANDSHAKE_RECORD) return;
    const { remoteAddress: from = 'unknown' } = socket as Socket;
    supernode.turnedAway(from, 'TLS_NOT_OFFERED', 'it speaks TLS, and this supernode has no cluster.tls');
  });
}
