import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Audit } from '../../base/audit.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import type { ApiAccess } from '../../http/api-access.ts';
import { opsRoutes } from '../../http/ops-routes.ts';
import { StrangerLimit } from '../../http/stranger-limit.ts';
import { jsonParts } from './json-parts.ts';
import { MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS, type Supernode } from './supernode.ts';
import { takeSessions } from './upgrade.ts';

export interface SupernodeApiOptions {
  readonly supernode: Supernode;
  readonly metrics: Metrics;
  /** See `OpsOptions`; sessions prove themselves. */
  readonly access: ApiAccess | 'loopback';
  /** Is told who may not ask. */
  readonly audit?: Audit | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * A fastify plugin: all that a supernode answers. `/api/v1/peers`, `/api/v1/blobs`, `/api/v1/status`, `/metrics`, `/livez`,
 * `/readyz`, and sessions at `/api/v1/session`, which end with 1001 when the server closes.
 */
export function supernodeApi(app: FastifyInstance, options: SupernodeApiOptions, done: () => void): void {
  const { supernode, metrics, access, audit, clock, log } = options;
  const limits = { perAddress: MAX_STRANGERS_PER_ADDRESS, overall: MAX_STRANGERS };
  const strangers = new StrangerLimit(app.server, limits, { clock, log });
  takeSessions(app.server, supernode, { loopbackOnly: access === 'loopback', strangers });
  app.addHook('preClose', async () => supernode.close());
  app.get('/api/v1/peers', (_request, reply) => sendLists(reply, { ...supernode.peers() }));
  app.get('/api/v1/blobs', (_request, reply) => sendLists(reply, { blobs: supernode.blobs() }));
  // Its hooks hold for the routes above too.
  opsRoutes(app, { metrics, access, audit, notReady: () => [], status: () => supernode.status() }, done);
}

function sendLists(reply: FastifyReply, lists: Readonly<Record<string, Iterable<unknown>>>): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(jsonParts(lists));
}
