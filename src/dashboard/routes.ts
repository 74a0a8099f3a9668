import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { parseBlobId } from '../base/digest.ts';
import type { CodedError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Supernode } from '../p2p/supernode/supernode.ts';
import type { Asset } from './assets.ts';
import { LOGIN_POLICY, loginDocument } from './document.ts';
import { BlobNotListed, DashboardBusy, PeerNotListed } from './errors.ts';
import { EventHub, MAX_LISTENERS } from './event-hub.ts';
import { snapshotOf } from './snapshot.ts';

/** Of a peer, in what is told of it alone. */
export const MAX_PARTS = 500;

/** The page may load and ask what is served here, and nothing else; nobody may frame it. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface DashboardOptions {
  readonly supernode: Supernode;
  readonly assets: ReadonlyMap<string, Asset>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The dashboard: its page at `/`, what that is made of below `/dashboard/`, the stream that keeps it up to date (`/api/v1/events`),
 * one peer (`/api/v1/peers/<id>`) and one blob (`/api/v1/blobs/<digest>`). Who may ask is decided by the routes' server.
 */
export function dashboardRoutes(app: FastifyInstance, { supernode, assets, clock, log }: DashboardOptions): void {
  const hub = new EventHub({ snapshot: () => snapshotOf(supernode), clock, log });
  app.addHook('preClose', async () => hub.close());
  app.addHook<string>('onSend', async (request, reply, payload) => {
    const isPage = request.routeOptions.url === '/' && reply.statusCode === 401;
    return isPage && request.headers.accept?.includes('text/html') === true ? loginPage(reply, payload) : payload;
  });
  for (const [path, asset] of assets) app.get(path, (request, reply) => sendAsset(request, reply, asset));
  app.get('/api/v1/events', { exposeHeadRoute: false }, (request, reply) => {
    // Another site's page could not read it, but take the place of those who can.
    if (isOtherSite(request)) return reply.code(403).send(OTHER_SITE);
    if (!hub.hasRoom) return refuse(reply, 503, new DashboardBusy({ most: MAX_LISTENERS }));
    reply.hijack();
    hub.add(reply.raw, { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
    return reply;
  });
  app.get<{ Params: { id: string } }>('/api/v1/peers/:id', (request, reply) => {
    const peer = supernode.peers().peers.find(({ id }) => id === request.params.id);
    if (!peer) return refuse(reply, 404, new PeerNotListed({}));
    const [store, peers, origin, read] = supernode.trafficOf(peer.instance) ?? [];
    const bytes = store === undefined ? null : { store, peers, origin, read };
    return reply.send({ ...peer, bytes, parts: supernode.partsOf(peer.id, MAX_PARTS) });
  });
  // Not `:digest`: a sha512 is longer than fastify lets parameters be.
  app.get<{ Params: { '*': string } }>('/api/v1/blobs/*', (request, reply) => {
    const digest = parseBlobId(request.params['*']);
    const blob = digest && supernode.blob(digest);
    return blob ? reply.send(blob) : refuse(reply, 404, new BlobNotListed({}));
  });
}

/** Browsers name the page's site (Fetch Metadata, 2.4; to loopback and https), and its origin where it is another (Fetch standard, 3.2). */
function isOtherSite({ headers }: FastifyRequest): boolean {
  const { origin, host, 'sec-fetch-site': site = 'none' } = headers;
  if (site !== 'same-origin' && site !== 'none') return true;
  return origin !== undefined && (host === undefined || !/^https?:\/\//.test(origin) || !origin.endsWith(`//${host}`));
}

const OTHER_SITE = {
  code: 'BROWSER_REFUSED',
  message: 'the request comes from a web page of another site',
  todo: 'ask without a browser, or from the page served here',
};

/** What a browser shows when its question for the token was closed without an answer. */
function loginPage(reply: FastifyReply, payload: string): string {
  reply.type('text/html; charset=utf-8').header('Content-Security-Policy', LOGIN_POLICY);
  reply.removeHeader('Content-Length');
  return loginDocument(JSON.parse(payload) as { message: string; todo: string });
}

function refuse(reply: FastifyReply, status: number, { code, message, todo }: CodedError): FastifyReply {
  return reply.code(status).send({ code, message, todo });
}

function sendAsset({ headers }: FastifyRequest, reply: FastifyReply, { type, body, etag }: Asset): FastifyReply {
  reply.headers({
    // To be asked for anew each time, and then seldom sent again.
    'Cache-Control': 'private, no-cache',
    ETag: etag,
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
  });
  if (headers['if-none-match']?.split(',').some((one) => one.trim().replace(/^W\//, '') === etag))
    return reply.code(304).send();
  return reply.type(type).send(body);
}
