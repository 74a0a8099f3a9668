import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../base/metrics.ts';
import { isLoopbackHost, LOOPBACK_HOSTS } from './loopback-host.ts';

export interface OpsOptions {
  readonly metrics: Metrics;
  /** Why the process is not ready to serve; empty when it is. */
  readonly notReady: () => readonly string[];
  /** The body of `/api/v1/status`. */
  readonly status: () => unknown;
  /** The listener is on a loopback address: then only requests that name one are answered. */
  readonly loopbackOnly: boolean;
}

/**
 * A fastify plugin: `/livez`, `/readyz`, `/metrics` and `/api/v1/status`. On a loopback listener the `Host` header is checked,
 * so that no web page in a browser on this machine can read them under a name of its own (DNS rebinding).
 */
export function opsRoutes(app: FastifyInstance, options: OpsOptions, done: () => void): void {
  const { metrics, notReady, status, loopbackOnly } = options;
  app.addHook('onRequest', async (request, reply) => {
    reply.header('Cache-Control', 'no-store');
    if (!loopbackOnly || isLoopbackHost(request.headers.host)) return;
    await reply.code(403).send({ code: 'HOST_REFUSED', message: `ask for ${LOOPBACK_HOSTS}` });
  });
  app.get('/livez', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const reasons = notReady();
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .send({ status: reasons.length === 0 ? 'ok' : 'not ready', reasons });
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  app.get('/api/v1/status', async () => status());
  done();
}
