import { createServer, STATUS_CODES, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { codeOf } from '../base/errors.ts';
import { KiB } from '../base/units.ts';
import { endConnection } from '../http/abort.ts';
import { endUpgrades } from '../http/no-upgrade.ts';
import { WriteUnsupported } from './errors.ts';
import type { MirrorTls } from './mirror-tls.ts';
import { ociAnswer, type OciAnswer } from './oci-errors.ts';

/** Request line and headers together: tokens of some registries take tens of KiB, podman's list of ranges up to 30. */
export const MAX_HEADER_BYTES = 64 * KiB;
/** For an idle connection: longer than Go's clients keep theirs (30 s), or they meet resets. */
export const KEEP_ALIVE_MS = 75_000;
/** For the head of a request; longer than the one above, as Node's documentation has it. */
export const HEADERS_MS = 80_000;
/** For a whole request, body included, which nobody here wants. */
export const REQUEST_MS = 90_000;
export const MAX_CONNECTIONS = 4096;
/** Of one address other than this machine's, so that one client does not take the places of all. */
export const MAX_CONNECTIONS_PER_ADDRESS = 1024;
/** For the TLS handshake. */
const HANDSHAKE_MS = 15_000;

/** Node's HTTP server with the limits of a mirror; with `tls` over TLS, where a client may come without a certificate. */
export function createHttpServer(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  tls?: MirrorTls,
): Server {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    headersTimeout: HEADERS_MS,
    requestTimeout: REQUEST_MS,
    noDelay: true,
  };
  const secure = tls && {
    ...tls,
    requestCert: tls.asksClients,
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_MS,
  };
  const server: Server = secure ? createTlsServer({ ...limits, ...secure }, handler) : createServer(limits, handler);
  endUpgrades(server);
  server.maxConnections = MAX_CONNECTIONS;
  server.on('request', (request, response) => answering(request.socket, response));
  // Not answered with 100: what follows is not read.
  server.on('checkContinue', handler);
  server.on('connect', (request, socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(render(ociAnswer(new WriteUnsupported({ method: request.method ?? '' }), 'other')));
  });
  // While it closes, connections that are kept alive end with their response.
  server.on('request', (_request, response) => {
    response.once('close', () => setImmediate(() => server.listening || server.closeIdleConnections()));
  });
  return server;
}

/** The answers that are still to leave on each connection, and who waits for the last of them. */
const inProgress = new WeakMap<Duplex, { readonly responses: Set<ServerResponse>; onLast: (() => void) | undefined }>();

function answering(socket: Duplex, response: ServerResponse): void {
  const state = inProgress.get(socket) ?? { responses: new Set<ServerResponse>(), onLast: undefined };
  inProgress.set(socket, state);
  state.responses.add(response);
  response.once('close', () => {
    state.responses.delete(response);
    if (state.responses.size === 0) state.onLast?.();
  });
}

const MALFORMED: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

/**
 * The answer to what is no HTTP (podman and containerd try TLS first, and go on after a 400), or to too much of it. The requests
 * before it on its connection are answered first: it must not get into the body of a blob.
 */
export function answerMalformed(error: Error, socket: Duplex): void {
  // Without a TLS session there is nothing to write an answer to.
  const hasNoSession = socket instanceof TLSSocket && socket.getProtocol() === null;
  if (codeOf(error) === 'ECONNRESET' || !socket.writable || hasNoSession) {
    socket.destroy();
    return;
  }
  const state = inProgress.get(socket);
  if (!state || state.responses.size === 0) endMalformed(error, socket);
  else state.onLast = () => endMalformed(error, socket);
}

function endMalformed(error: Error, socket: Duplex): void {
  if (!socket.writable) return;
  const status = MALFORMED[codeOf(error)] ?? 400;
  const message = STATUS_CODES[status]!;
  const body = JSON.stringify({ errors: [{ code: 'UNSUPPORTED', message, detail: { code: codeOf(error) } }] });
  const headers = { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)) };
  socket.end(render({ status, headers, body }));
}

/**
 * Answers a request and closes its connection without reading its body, and without the reset that Node's own close would
 * make of unread input, which can overtake the answer.
 */
export function refuse(request: IncomingMessage, response: ServerResponse, answer: OciAnswer): void {
  // One that waits behind another on its connection has no socket yet.
  if (!response.socket) {
    response.writeHead(answer.status, { ...answer.headers, Connection: 'close' });
    response.end(answer.body);
    return;
  }
  response.statusCode = answer.status;
  request.socket.write(render(answer));
  endConnection(request);
}

function render({ status, headers, body }: OciAnswer): string {
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`;
}
