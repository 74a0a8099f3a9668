import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Audit } from '../../base/audit.ts';
import type { Clock } from '../../base/clock.ts';
import type { Descriptors } from '../../base/descriptors.ts';
import { codeAndTodo, codeOf, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Metrics } from '../../base/metrics.ts';
import { KiB } from '../../base/units.ts';
import { limitConnections } from '../../http/connection-limit.ts';
import { endUpgrades } from '../../http/no-upgrade.ts';
import { StrangerLimit } from '../../http/stranger-limit.ts';
import { TLS_HANDSHAKE_RECORD, TlsPort } from '../../http/tls-port.ts';
import type { ClusterTls } from '../protocol/cluster-tls.ts';
import { REFUSAL_HEADER } from '../protocol/socket.ts';
import { Askers, type Asker } from './askers.ts';
import { BlobAnswers, blobIn, type BlobAnswersOptions } from './blob-answers.ts';
import { tokenIn, type PieceAuth, type PeerIdentity } from './piece-auth.ts';
import { answer, hasBody } from './piece-http.ts';
import { encodeAnswer, isQuestion, parseQuestion, type Reading, type ReadingKey } from './readings.ts';

export const MAX_HEADER_BYTES = 8 * KiB;
export const MAX_CONNECTIONS = 2048;
/** Of those who have not shown a good token: of one address, and of all. */
export const MAX_STRANGERS_PER_ADDRESS = 128;
export const MAX_STRANGERS = 1024;
/** For an idle connection; longer than a piece client keeps one, so that few are closed just as they are used again. */
export const KEEP_ALIVE_MS = 60_000;
/** For the head of a request, and for all of it. */
export const REQUEST_MS = 10_000;
/** A receiver that takes no byte for so long gives its upload slot back. */
export const SEND_STALL_MS = 15_000;
/** On one connection. A sender of 1 MiB pieces at 25 Gbit/s sees 3,000, over its four slots. */
export const MAX_REQUESTS_PER_SECOND = 1000;
/** On one connection at the same time: a piece client asks one after the other. */
export const MAX_PIPELINED_REQUESTS = 4;
/** Descriptors that a connection of another proxy leaves to this node's own clients. */
const SPARE_FOR_CLIENTS = 2;
/** How long uploads may go on once the server closes. */
const DRAIN_MS = 3000;
const LOOK_AT_LIMITS = 'if it does not go away by itself, look at the open-file limit and the memory of this node';

/** To who speaks TLS: it makes nothing of it but that there is none. */
const NO_TLS = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

const WHOAMI_PATH = /^\/v1\/whoami\?nonce=([\w-]{16,128})$/;

export interface PieceServerOptions extends BlobAnswersOptions {
  readonly auth: Pick<PieceAuth, 'check'>;
  readonly identity: PeerIdentity;
  /** Proves this peer and instance to the reachability test, over its nonce. */
  readonly prove: (nonce: string) => string;
  /** What this proxy vouches for, and its proof that it said so; undefined: nothing. */
  readonly vouch: (key: ReadingKey, nonce: string) => Promise<{ reading: Reading; proof: string } | undefined>;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shares out file descriptors; undefined: there are enough. */
  readonly descriptors?: Descriptors | undefined;
  /** Is told who may not ask. */
  readonly audit?: Audit | undefined;
  /** Who has no certificate of its CA gets no further than the handshake; undefined: in clear. */
  readonly tls?: ClusterTls | undefined;
}

/**
 * The piece port. `GET /v1/blobs/<digest>` with one range (or none: the whole of a verified blob), opened by a token in
 * `Authorization: Hawker <token>`; with a token too, `GET /v1/readings/<digest>` (see readings.ts); and without one
 * `GET /v1/whoami?nonce=<nonce>`. Answers: 200 or 206; 404, it is not here (any more);
 * 503 with `X-Hawker-Reason: busy`; 416; 400; and without a good token 403, whatever was asked.
 */
export class PieceServer {
  readonly #options: PieceServerOptions;
  readonly #server: Server;
  readonly #strangers: StrangerLimit;
  readonly #tlsPort: TlsPort | undefined;
  readonly #askers: Askers;
  readonly #blobs: BlobAnswers;

  constructor(options: PieceServerOptions) {
    this.#options = options;
    this.#askers = new Askers({ pipelined: MAX_PIPELINED_REQUESTS, perSecond: MAX_REQUESTS_PER_SECOND }, options.clock);
    this.#blobs = new BlobAnswers(options);
    const settings = {
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      noDelay: true,
    };
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    const { tls } = options;
    if (tls) {
      const server = createTlsServer({ ...settings, ...tls.forMembers }, serve);
      tls.keep(server, { resumes: true });
      this.#tlsPort = this.#guard(server);
      this.#server = server;
    } else this.#server = createServer(settings, serve);
    endUpgrades(this.#server);
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.timeout = SEND_STALL_MS;
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      void this.#serve(request, response);
    });
    const { descriptors, clock, log } = options;
    const limits = { perAddress: MAX_STRANGERS_PER_ADDRESS, overall: MAX_STRANGERS };
    this.#strangers = new StrangerLimit(this.#server, limits, { clock, log });
    if (descriptors) limitConnections(this.#server, { descriptors, spare: SPARE_FOR_CLIENTS, log });
    // Whoever speaks no HTTP has shown no token: no answer. But a member that speaks TLS is to learn that it is not spoken here.
    this.#server.on('clientError', (error: Error & { rawPacket?: Buffer }, socket) => {
      if (!tls && error.rawPacket?.[0] === TLS_HANDSHAKE_RECORD) socket.end(NO_TLS);
      else socket.destroy();
    });
  }

  /** On an address, or (`fd`) on a socket that listens already. Resolves with the port, which the system chooses for 0. Rejects with the system's error, as EADDRINUSE. */
  listen(address: { readonly host: string; readonly port: number } | { readonly fd: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ ...address }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) =>
          this.#options.log.error({ code: codeOf(error), todo: LOOK_AT_LIMITS }, describeError(error)),
        );
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Closes the connections on which no request runs. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  /**
   * Who counts as a member may have changed: ends the connections, uploads and all, that were opened with what is no good any more.
   * One that has run for longer than a token is good for is among them; its receiver asks anew.
   */
  recheck(): void {
    this.#askers.recheck((token) => this.#options.auth.check(token) !== undefined);
  }

  /** The address that it listens on, on behalf of another process maybe. */
  get host(): string {
    return (this.#server.address() as AddressInfo).address;
  }

  /** Takes no more connections; what runs goes on. */
  release(): void {
    this.#server.close();
  }

  /** Takes no more requests; uploads that run have 3 s to end. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    this.#server.closeIdleConnections();
    this.#tlsPort?.close();
    const cancel = this.#options.clock.after(DRAIN_MS, () => this.#server.closeAllConnections());
    await closed;
    cancel();
  }

  #guard(server: TlsServer): TlsPort {
    const said = (seen: string) => (address: string, why: string) =>
      this.#options.log.debug({ code: 'PIECES_REFUSED', address, why }, seen);
    return new TlsPort(server, {
      refusalHeader: REFUSAL_HEADER,
      plain: (address) => said('a request to the piece port was refused')(address, 'it came without TLS'),
      failed: said('a TLS handshake with the piece port came to nothing'),
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asker = this.#askers.of(request.socket);
    if (!asker.begin()) {
      request.socket.destroy();
      return;
    }
    response.sendDate = false;
    try {
      await this.#dispatch(request, response, asker);
    } catch (error) {
      this.#options.log.warn(codeAndTodo(error), `an upload broke off: ${describeError(error)}`);
      response.destroy();
    }
    asker.end();
    this.#options.metrics.httpRequests.inc({ handler: 'pieces', status: String(response.statusCode) });
    if (!this.#server.listening) setImmediate(() => this.#server.closeIdleConnections());
  }

  async #dispatch(request: IncomingMessage, response: ServerResponse, asker: Asker): Promise<void> {
    const nonce = request.method === 'GET' ? WHOAMI_PATH.exec(request.url ?? '')?.[1] : undefined;
    if (nonce !== undefined) this.#whoami(response, nonce);
    else if (!this.#isMember(request, asker)) this.#refuse(request, response, 403);
    else if (!asker.count()) this.#refuse(request, response, 429);
    else if (isQuestion(request.url ?? '')) await this.#serveReading(request, response);
    else if (!(await this.#blobs.serve(request, response))) this.#refuse(request, response, 400);
  }

  async #serveReading(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const question = parseQuestion(request.url ?? '');
    if (request.method !== 'GET' || !question || hasBody(request)) {
      this.#refuse(request, response, 400);
      return;
    }
    const vouched = await this.#options.vouch(question.key, question.nonce);
    if (!vouched) {
      answer(response, 404);
      return;
    }
    const body = encodeAnswer(vouched.reading, vouched.proof);
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  }

  #whoami(response: ServerResponse, nonce: string): void {
    const { identity, prove } = this.#options;
    const body = JSON.stringify({ peer: identity.peer, instance: identity.instance, proof: prove(nonce) });
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      Connection: 'close',
    });
    response.end(body);
  }

  #isMember(request: IncomingMessage, asker: Asker): boolean {
    const token = tokenIn(request.headers.authorization);
    if (token === undefined || this.#options.auth.check(token) === undefined) return false;
    asker.token = token;
    this.#strangers.known(request.socket);
    return true;
  }

  /** Answers and ends the connection. */
  #refuse(request: IncomingMessage, response: ServerResponse, status: number): void {
    this.#options.log.debug(
      { code: 'PIECES_REFUSED', status, address: request.socket.remoteAddress },
      'a request to the piece port was refused',
    );
    if (status === 403) {
      this.#options.audit?.record({
        role: 'pieces',
        client: request.socket.remoteAddress,
        decision: 'denied',
        code: 'NOT_A_MEMBER',
        method: request.method,
        digest: blobIn(request),
      });
    }
    answer(response, status, { Connection: 'close' });
  }
}
