import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Audit } from '../base/audit.ts';
import type { RoleMetrics } from '../base/metrics.ts';
import type { ApiAccess } from './api-access.ts';
import { clientCertificate } from './client-certificate.ts';
import { auditCommand } from './command-audit.ts';
import { isLoopbackHost, LOOPBACK_HOSTS } from './loopback-host.ts';

export interface OpsOptions {
  readonly metrics: RoleMetrics;
  /** Why the process is not ready to serve; empty when it is. */
  readonly notReady: () => readonly string[];
  /** The body of `/api/v1/status`. */
  readonly status: () => unknown;
  /** `loopback`: the listener is on a loopback address, and only requests that name one are answered; else who may ask. */
  readonly access: ApiAccess | 'loopback';
  /** Is told who may not ask, and of what changes something. */
  readonly audit?: Audit | undefined;
}

/** What a probe asks, which can hold no token: it says nothing about anybody. */
const OPEN_PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz']);

const NOT_FOUND = { code: 'PATH_UNKNOWN', message: 'nothing is served at this path', todo: 'check the path' };

const TOKEN_TODO =
  "name the operator's token (cluster.operatorTokenFile; `hawker token --operator` makes it), or, to ask only, the join secret (cluster.secretFile) or a certificate of its CA (cluster.tls)";

/**
 * A fastify plugin: `/livez`, `/readyz`, `/metrics` and `/api/v1/status`. On a loopback listener the `Host` header is checked,
 * so that no web page in a browser on this machine can read them under a name of its own (DNS rebinding); on any other all but
 * the first two need a token or a member's certificate. What changes something is refused to pages of other sites.
 */
export function opsRoutes(app: FastifyInstance, options: OpsOptions, done: () => void): void {
  const { metrics, notReady, status, access, audit } = options;
  /** Who may ask, by address: at the end of an answer its connection may be gone. */
  const admitted = new WeakMap<FastifyRequest, string>();
  app.addHook('onRequest', async (request, reply) => {
    reply.header('Cache-Control', 'no-store');
    const refusal = refusalOf(request, access);
    if (!refusal) {
      admitted.set(request, request.ip);
      return;
    }
    const { method, url, ip } = request;
    const path = url.split('?', 1)[0];
    audit?.record({ role: 'api', client: ip, decision: 'denied', code: refusal.code, method, path });
    // With it, a browser asks its user for the token.
    if (refusal.status === 401) reply.header('WWW-Authenticate', 'Basic realm="hawker", charset="UTF-8"');
    await reply.code(refusal.status).send({ code: refusal.code, message: refusal.message, todo: refusal.todo });
  });
  app.addHook('onResponse', async (request, { statusCode }) => {
    const client = admitted.get(request);
    if (!audit || client === undefined) return;
    const by = access === 'loopback' ? undefined : 'operator';
    auditCommand(audit, request, { client, by, status: statusCode });
  });
  // With the first hook before it: what is not there is closed too.
  app.setNotFoundHandler(async (_request, reply) => reply.code(404).send(NOT_FOUND));
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

interface Refusal {
  readonly status: 401 | 403;
  readonly code: string;
  readonly message: string;
  readonly todo: string;
}

function refusalOf(
  { method, headers, routeOptions, socket }: FastifyRequest,
  access: OpsOptions['access'],
): Refusal | undefined {
  if (access === 'loopback') {
    if (!isLoopbackHost(headers.host)) {
      return { status: 403, code: 'HOST_REFUSED', message: `ask for ${LOOPBACK_HOSTS}`, todo: 'use that address' };
    }
  } else if (!OPEN_PATHS.has(routeOptions.url ?? '')) {
    const isMember = clientCertificate(socket).state === 'accepted';
    const granted = access.of(method, headers.authorization, isMember);
    if (granted !== 'granted') return { status: 401, todo: TOKEN_TODO, ...TOKEN_WORDS[granted] };
  }
  if (method === 'GET' || method === 'HEAD' || isOwnPage(headers)) return undefined;
  const message = 'the request comes from a web page of another site (its Origin)';
  return { status: 403, code: 'BROWSER_REFUSED', message, todo: 'ask without a browser, or from the page served here' };
}

const TOKEN_WORDS = {
  needed: { code: 'OPERATOR_TOKEN_NEEDED', message: 'this API is answered only with a token' },
  wrong: { code: 'OPERATOR_TOKEN_WRONG', message: 'the token is none of this cluster, or allows less than was asked' },
} as const;

/** A browser names the page's `Origin` in all that can change something (Fetch standard, 3.1); other clients name none. */
function isOwnPage({ origin, host }: FastifyRequest['headers']): boolean {
  return origin === undefined || (host !== undefined && /^https?:\/\/(.+)$/.exec(origin)?.[1] === host);
}
