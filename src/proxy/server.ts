import type { IncomingMessage, ServerResponse } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import type { Audit } from '../base/audit.ts';
import type { Clock } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Metrics } from '../base/metrics.ts';
import type { Descriptors } from '../base/descriptors.ts';
import { endConnection } from '../http/abort.ts';
import { foreignPage } from '../http/browser-guard.ts';
import { limitConnections } from '../http/connection-limit.ts';
import { limitStrangers } from '../http/stranger-limit.ts';
import type { Upstreams } from '../registry/upstreams.ts';
import type { Access } from './access.ts';
import type { Askers } from './askers.ts';
import { AccessLog, type LogEntry } from './access-log.ts';
import { auditExchange } from './audit-trail.ts';
import type { Blobs } from './blobs.ts';
import {
  BrowserRefused,
  CatalogUnsupported,
  HostRefused,
  LoginNeeded,
  LoginRefused,
  MirrorLoginNeeded,
  WriteUnsupported,
} from './errors.ts';
import { Exchange } from './exchange.ts';
import {
  answerMalformed,
  createHttpServer,
  MAX_CONNECTIONS,
  MAX_CONNECTIONS_PER_ADDRESS,
  refuse,
} from './http-server.ts';
import type { Manifests } from './manifests.ts';
import type { MirrorTls } from './mirror-tls.ts';
import { resolveScope, type ListenerScope } from './namespace.ts';
import { ociAnswer, type Subject } from './oci-errors.ts';
import { serveByOwnCredential } from './own-credential.ts';
import type { PassThrough } from './passthrough.ts';
import { parseRequestPath, type RequestPath } from './request-path.ts';

/** How long a registry may take to say how to log in, in milliseconds; a client waits for it before its pull begins. */
const CHALLENGE_MS = 3000;

/** As much of a host that a client names as an error shows, in characters. */
const MAX_SHOWN_HOST = 100;

export interface ServerDeps {
  readonly upstreams: Pick<Upstreams, 'find'>;
  /** Names for which clients on this machine may ask, besides those of loopback. */
  readonly names?: readonly string[] | undefined;
  readonly access: Access;
  readonly askers: Askers;
  readonly manifests: Manifests;
  readonly blobs: Blobs;
  readonly passThrough: PassThrough;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** Shares out file descriptors; undefined: there are enough. */
  readonly descriptors?: Descriptors | undefined;
  /** Is told who reads what that is not for everybody, and who may not. */
  readonly audit?: Audit | undefined;
}

/**
 * One listener of the mirror. It has no routes: names in a path have to be read from the right, and undecoded, which no
 * router does, so `parseRequestPath` tells what a request is for; and a request that went through a router first, to its one route,
 * took 0.05 ms more of it. fastify opens and closes the server. Errors become answers here and nowhere else.
 */
export function createMirrorServer(
  listener: ListenerScope,
  deps: ServerDeps,
  /** Undefined: plain HTTP. */
  tls: MirrorTls | undefined,
): FastifyInstance {
  const accessLog = new AccessLog(deps);
  return fastify({
    serverFactory: () => {
      const server = createHttpServer((request, response) => {
        if (request.method !== 'GET' && request.method !== 'HEAD') {
          refuseWrite(request, response, accessLog);
          return;
        }
        // While it closes, the answers on its connections are the last ones. A 503 would cost docker over a minute.
        if (!server.listening) response.setHeader('Connection', 'close');
        void answer(request, response, request.url ?? '');
      }, tls);
      if (tls) deps.askers.watch(server);
      const { descriptors, log, clock } = deps;
      const limits = { perAddress: MAX_CONNECTIONS_PER_ADDRESS, overall: MAX_CONNECTIONS };
      limitStrangers(server, limits, { clock, log });
      if (descriptors) limitConnections(server, { descriptors, log });
      return server;
    },
    clientErrorHandler: answerMalformed,
  });

  async function answer(request: IncomingMessage, response: ServerResponse, url: string): Promise<void> {
    const entry = accessLog.open(request, response, url);
    try {
      refuseForeign(request, url, deps);
      const path = parseRequestPath(url);
      entry.path = path;
      await dispatch(request, response, path, entry);
    } catch (error) {
      entry.error = error;
      try {
        fail(request, response, error, subjectOf(entry.path));
      } catch (failure) {
        // A registry's words may not fit into a header. Nothing may escape from here: nobody would catch it.
        entry.error = failure;
        endConnection(request);
      }
    }
  }

  async function dispatch(
    request: IncomingMessage,
    response: ServerResponse,
    path: RequestPath,
    entry: LogEntry,
  ): Promise<void> {
    const { target } = path;
    if (target.kind === 'base') {
      await answerBase(request, response);
      return;
    }
    if (target.kind === 'catalog') throw new CatalogUnsupported({});
    const scope = resolveScope(path, listener, deps.upstreams);
    const exchange = new Exchange(request, response, scope, await deps.askers.of(request), deps);
    if (deps.audit) auditExchange(deps.audit, exchange, entry);
    if (deps.descriptors) exchange.onHead(await deps.descriptors.enter(exchange.signal));
    // docker and podman learn of a login at `/v2/` only, and get by with a 404 here; containerd and BuildKit, which send `ns`, learn of it anywhere.
    const mayLogIn = listener.bound || path.ns !== undefined;
    await serveByOwnCredential(exchange, deps.access, { mayLogIn }, async () => {
      if (target.kind === 'manifest') await deps.manifests.serve(exchange, target.reference);
      else if (target.kind === 'blob') await deps.blobs.serve(exchange, target.digest);
      else await deps.passThrough.serve(exchange, target.rest, path.query);
    });
  }

  /**
   * On a listener for one registry, that registry's own challenge, if it is for a token: docker and podman ask here only. Never on the
   * shared one: docker would send its user's Docker Hub password to whoever asks for it. Where the registry cannot be asked, what
   * is here is served without. A listener that asks for a login at the mirror does so here, and nowhere else: what containerd has for
   * a registry, it would send to whatever asks.
   */
  async function answerBase(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (listener.login) await askForLogin(request);
    else if (listener.bound && request.headers.authorization === undefined) {
      const upstream = deps.upstreams.find(listener.upstream);
      const challenge = await upstream
        ?.challenge(undefined, AbortSignal.timeout(CHALLENGE_MS))
        .catch((error: unknown) => {
          deps.log.debug(
            { code: 'NO_CHALLENGE', upstream: upstream.key, cause: codeOf(error) },
            'the registry cannot be asked how to log in',
          );
          return undefined;
        });
      if (upstream && challenge !== undefined)
        throw new LoginNeeded({ host: upstream.host, repository: 'everything', challenge });
    }
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': 2,
      'Docker-Distribution-Api-Version': 'registry/2.0',
    });
    response.end('{}');
  }

  /** `podman login` learns here whether a login is right; a wrong one is answered 404 elsewhere. */
  async function askForLogin(request: IncomingMessage): Promise<void> {
    try {
      const { asker, authorization } = await deps.askers.of(request);
      if (asker.user === undefined && authorization === undefined) throw new MirrorLoginNeeded({});
    } catch (error) {
      throw error instanceof LoginRefused ? new MirrorLoginNeeded({}, { cause: error }) : error;
    }
  }
}

/** Throws HOST_REFUSED, BROWSER_REFUSED. */
function refuseForeign(
  request: IncomingMessage,
  url: string,
  { names = [], audit }: Pick<ServerDeps, 'names' | 'audit'>,
): void {
  const foreign = foreignPage(request, url, names);
  if (!foreign) return;
  const error =
    foreign.by === 'host'
      ? new HostRefused({ host: JSON.stringify(foreign.host.slice(0, MAX_SHOWN_HOST)) })
      : new BrowserRefused({});
  const { method, socket } = request;
  audit?.record({ role: 'mirror', client: socket.remoteAddress, decision: 'denied', code: error.code, method });
  throw error;
}

function refuseWrite(request: IncomingMessage, response: ServerResponse, accessLog: AccessLog): void {
  const entry = accessLog.open(request, response, request.url ?? '');
  entry.error = new WriteUnsupported({ method: request.method ?? '' });
  refuse(request, response, ociAnswer(entry.error, 'other'));
}

function fail(request: IncomingMessage, response: ServerResponse, error: unknown, subject: Subject): void {
  if (response.headersSent) {
    endConnection(request);
    return;
  }
  if (request.socket.destroyed) return;
  const { status, headers, body } = ociAnswer(error, subject);
  response.writeHead(status, headers);
  response.end(body);
}

function subjectOf(path: RequestPath | undefined): Subject {
  const kind = path?.target.kind;
  return kind === 'manifest' || kind === 'blob' ? kind : 'other';
}
