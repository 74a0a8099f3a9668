import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { codeAndTodo, describeError } from '../base/errors.ts';
import type { Audit } from '../base/audit.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Address } from '../config/formats.ts';
import type { FileApi } from '../files/file-api.ts';
import { createApiServer } from '../http/api-server.ts';
import { opsRoutes } from '../http/ops-routes.ts';
import type { StoreKeeper } from '../proxy/store-keeper.ts';
import type { Peer } from './peer.ts';
import { hostOf, type Sockets } from './sockets.ts';
import { storeRoutes } from './store-routes.ts';

/** It is asked on this machine only, by people, probes and Prometheus. */
export const MAX_CONNECTIONS = 256;

export interface ProxyApiOptions {
  readonly metrics: Metrics;
  readonly status: () => unknown;
  /** Undefined: this node is in no cluster. */
  readonly peer: Peer | undefined;
  readonly audit: Audit;
  readonly sockets: Sockets;
  readonly keeper: StoreKeeper;
  readonly files: FileApi;
}

/**
 * A proxy's own API: what every service answers, and `POST /api/v1/dial-back`, on which the supernode is asked to try this
 * proxy's piece port: `{supernode, address, error}`, one of the last two null; 409 with `{code, message, todo}` without a session.
 * `GET /api/v1/files`: see `FileApi`.
 */
export async function startProxyApi(
  listen: Address,
  { metrics, status, peer, audit, sockets, keeper, files }: ProxyApiOptions,
): Promise<{ app: FastifyInstance; port: number }> {
  const app = createApiServer({ maxConnections: MAX_CONNECTIONS });
  // Where `accept` fails, some versions of Node say so here; nobody listening would end the process.
  app.server.on('error', () => undefined);
  app.post('/api/v1/dial-back', async (_request, reply) => {
    try {
      if (!peer) return await reply.code(404).send({ code: 'NO_CLUSTER', message: 'this proxy is in no cluster' });
      const { supernode, result } = await peer.dialBack();
      return await reply.send({ supernode, address: result.address ?? null, error: result.error ?? null });
    } catch (error) {
      const { code, todo = 'see the log of this proxy' } = codeAndTodo(error);
      return reply.code(409).send({ code, message: describeError(error), todo });
    }
  });
  storeRoutes(app, keeper);
  app.get<{ Querystring: Record<string, unknown> }>('/api/v1/files', async (request, reply) => {
    reply.hijack();
    await files.serve(request.raw, reply.raw, request.query);
  });
  app.get<{ Params: { id: string } }>('/api/v1/files/transfers/:id', async (request, reply) => {
    const { id } = request.params;
    const known = files.transfer(id);
    if (known) return reply.send(known);
    return reply.code(404).send({ code: 'NO_TRANSFER', message: `no file is being sent, or was just now, as ${id}` });
  });
  // Its hooks hold for the routes above too.
  opsRoutes(app, { metrics, status, audit, notReady: () => [], access: 'loopback' }, () => undefined);
  const where = { address: listen, key: 'api.listen' };
  await sockets.listen(
    'api',
    where,
    (at) => app.listen(at),
    () => hostOf(app.server),
  );
  return { app, port: (app.server.address() as AddressInfo).port };
}
