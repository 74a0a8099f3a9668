import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import { randomUUID } from 'node:crypto';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { digestOf, type Digest } from '../../src/base/digest.ts';
import { PATIENCE_MS } from './patience.ts';
import { RegistryAuth } from './registry-auth.ts';
import { Faults, sendFaulty, use, useHtml, useStatus, type RequestKind } from './registry-faults.ts';
import type { TestBlob, TestImage } from './registry-images.ts';

export { makeImage, randomBytes, testBlob, type TestBlob, type TestImage } from './registry-images.ts';

export interface RecordedRequest {
  readonly kind: RequestKind;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Which connection it came on. */
  readonly connection: number;
  /** 0 until answered. */
  status: number;
  /** Body bytes that have left. */
  bodyBytes: number;
}

interface Repository {
  readonly manifests: Map<string, TestBlob>;
  readonly blobs: Map<string, TestBlob>;
  readonly tags: Map<string, Digest>;
}

interface Route {
  readonly kind: RequestKind;
  readonly repository?: string;
  readonly reference?: string;
}

const TAG_PAGE = 100;

/**
 * A small registry in this process for tests: right by default, wrong on demand (`faults`), closed on demand (`auth`). The
 * second listener, on 127.0.0.2, plays the CDN that blobs are redirected to. It records every request.
 */
export class HostileRegistry {
  readonly faults = new Faults();
  readonly auth = new RegistryAuth();
  readonly requests: RecordedRequest[] = [];
  /** Redirect GET (and HEAD) of blobs to the second listener, with this status. */
  redirectBlobs: { status: number } | undefined;
  /** Instead of the second listener: where the redirect points. */
  redirectTo: ((digest: string) => string) | undefined;
  /** How long the URL of a redirect works. */
  signedUrlTtlMs = 300_000;
  /** What the second listener answers to an expired URL. */
  expiredStatus = 403;
  readonly #repositories = new Map<string, Repository>();
  readonly #signed = new Map<string, { blob: TestBlob; expiresAt: number }>();
  readonly #connections = new WeakMap<Socket, { id: number; requests: number }>();
  #connectionCount = 0;
  readonly #servers: Server[] = [];
  #scheme = 'http';
  /** `127.0.0.1:41234` */
  host = '';
  cdnHost = '';

  static async start(
    options: { tls?: { key: string; cert: string }; address?: string } = {},
  ): Promise<HostileRegistry> {
    const origin = new HostileRegistry();
    if (options.tls) origin.#scheme = 'https';
    const listen = async (address: string) => {
      const answer = (req: IncomingMessage, res: ServerResponse) => void origin.#answer(req, res);
      const server = options.tls ? createTlsServer(options.tls, answer) : createServer(answer);
      origin.#servers.push(server);
      server.keepAliveTimeout = 60_000;
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve));
      const { port } = server.address() as AddressInfo;
      return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    };
    origin.host = await listen(options.address ?? '127.0.0.1');
    origin.cdnHost = await listen('127.0.0.2');
    return origin;
  }

  get url(): string {
    return `${this.#scheme}://${this.host}`;
  }

  get cdnUrl(): string {
    return `${this.#scheme}://${this.cdnHost}`;
  }

  addImage(repository: string, tag: string, image: TestImage): void {
    for (const blob of image.blobs) this.addBlob(repository, blob);
    for (const manifest of image.manifests) this.addManifest(repository, manifest);
    this.addManifest(repository, image.index, tag);
  }

  addBlob(repository: string, blob: TestBlob): void {
    this.#repository(repository).blobs.set(blob.digest, blob);
  }

  addManifest(repository: string, manifest: TestBlob, tag?: string): void {
    this.#repository(repository).manifests.set(manifest.digest, manifest);
    if (tag !== undefined) this.#repository(repository).tags.set(tag, manifest.digest);
  }

  /** Removes a blob or manifest. */
  remove(repository: string, digest: Digest): void {
    this.#repository(repository).blobs.delete(digest);
    this.#repository(repository).manifests.delete(digest);
  }

  /** Requests of a kind (and method), in order. */
  of(kind: RequestKind, method?: string): RecordedRequest[] {
    return this.requests.filter((r) => r.kind === kind && (method === undefined || r.method === method));
  }

  /** The connection (a number) of each request, in order. */
  connections(): number[] {
    return this.requests.map((request) => request.connection);
  }

  /** Waits for a condition, with a bound. */
  async until(condition: () => boolean): Promise<void> {
    for (const end = performance.now() + PATIENCE_MS; !condition();) {
      if (performance.now() > end) throw new Error(`it did not come to this: ${condition.toString()}`);
      await sleep(10);
    }
  }

  /** From now on the URLs that were signed so far are refused. */
  expireSignedUrls(): void {
    this.#signed.clear();
  }

  /** A certificate in place of the one that it was started with: every connection is closed, the next ones get it. */
  useTls(tls: { key: string; cert: string }): void {
    for (const server of this.#servers) {
      (server as TlsServer).setSecureContext(tls);
      server.closeAllConnections();
    }
  }

  /** Body bytes of blobs sent so far, over both listeners. */
  blobBytes(): number {
    return [...this.of('blob'), ...this.of('cdn')].reduce((sum, r) => sum + r.bodyBytes, 0);
  }

  /** Stops listening and closes every connection: the origin is down. `start` makes a new one on other ports. */
  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
      }),
    );
  }

  #repository(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (!repository) {
      repository = { manifests: new Map(), blobs: new Map(), tags: new Map() };
      this.#repositories.set(name, repository);
    }
    return repository;
  }

  #connection(socket: Socket): { id: number; requests: number } {
    let connection = this.#connections.get(socket);
    if (!connection) {
      this.#connectionCount += 1;
      connection = { id: this.#connectionCount, requests: 0 };
      this.#connections.set(socket, connection);
    }
    return connection;
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://origin.test');
    const route = routeOf(decodeURIComponent(url.pathname));
    const connection = this.#connection(req.socket);
    const record: RecordedRequest = {
      kind: route.kind,
      method: req.method ?? '',
      path: req.url ?? '',
      headers: req.headers,
      connection: connection.id,
      status: 0,
      bodyBytes: 0,
    };
    this.requests.push(record);
    res.on('error', () => undefined);
    connection.requests += 1;
    const faults = this.faults.on.includes(route.kind) ? this.faults : undefined;
    if (use(faults?.drop) || (connection.requests > 1 && use(faults?.dropReused))) {
      req.socket.destroy();
      return;
    }
    if (faults?.stall?.bytes === -1 && use(faults.stall)) return;
    if (faults && faults.delayMs > 0) await sleep(faults.delayMs);
    await this.#route({ req, res, url, route, record, faults });
  }

  #route(exchange: Exchange): Promise<void> {
    const { req, url, route, faults } = exchange;
    if (faults?.status && useStatus(faults.status)) {
      const { code, retryAfter, body } = faults.status;
      const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
      if (body !== undefined) return reply(exchange, code, headers, body);
      return fail(exchange, code, code === 429 ? 'TOOMANYREQUESTS' : 'UNAVAILABLE', headers);
    }
    if (route.kind === 'token') return this.#token(exchange);
    if (route.kind === 'cdn') {
      const signed = this.#signed.get(url.searchParams.get('signature') ?? '');
      // As S3: "Only one auth mechanism allowed", and a URL signed for GET does not do for HEAD.
      if (req.headers.authorization !== undefined) return fail(exchange, 400, 'InvalidArgument');
      if (!signed || signed.expiresAt <= Date.now()) return fail(exchange, this.expiredStatus, 'ExpiredToken');
      if (req.method !== 'GET') return fail(exchange, 403, 'SignatureDoesNotMatch');
      return this.#blob(exchange, signed.blob);
    }
    const refusal = this.auth.refuse(req.headers.authorization, route.repository, `${this.url}/token`);
    if (refusal) {
      const challenges = refusal.challenges.length > 0 ? { 'www-authenticate': [...refusal.challenges] } : {};
      return fail(exchange, refusal.status, 'UNAUTHORIZED', challenges);
    }
    if (route.kind === 'ping') return reply(exchange, 200, JSON_TYPE, '{}');
    const repository = this.#repositories.get(route.repository ?? '');
    return repository ? this.#read(exchange, repository) : fail(exchange, 404, 'NAME_UNKNOWN');
  }

  async #token(exchange: Exchange): Promise<void> {
    const { req, url } = exchange;
    const method = req.method ?? '';
    const form = new URLSearchParams(method === 'POST' ? await text(req) : '');
    const { authorization } = req.headers;
    const answer = this.auth.token({ method, query: url.searchParams, form, authorization });
    await reply(exchange, answer.status, JSON_TYPE, JSON.stringify(answer.body));
  }

  #read(exchange: Exchange, repository: Repository): Promise<void> {
    const { req, route, faults } = exchange;
    const reference = route.reference ?? '';
    if (req.method === 'HEAD' && faults?.headStatus !== undefined) {
      return fail(exchange, faults.headStatus, 'UNSUPPORTED');
    }
    if (route.kind === 'manifest') {
      const manifest = repository.manifests.get(repository.tags.get(reference) ?? reference);
      return manifest ? this.#whole(exchange, manifest) : fail(exchange, 404, 'MANIFEST_UNKNOWN');
    }
    if (route.kind === 'blob') {
      const blob = repository.blobs.get(reference);
      if (!blob) return fail(exchange, 404, 'BLOB_UNKNOWN');
      if (!this.redirectBlobs) return this.#blob(exchange, blob);
      const location = this.redirectTo?.(blob.digest) ?? this.#sign(blob);
      return reply(exchange, this.redirectBlobs.status, { location }, '');
    }
    if (route.kind !== 'tags') return fail(exchange, 404, 'UNSUPPORTED');
    const tags = [...repository.tags.keys()].toSorted().slice(0, TAG_PAGE);
    return reply(exchange, 200, JSON_TYPE, JSON.stringify({ name: route.repository, tags }));
  }

  #sign(blob: TestBlob): string {
    const signature = `secret-signature-${randomUUID()}`;
    this.#signed.set(signature, { blob, expiresAt: Date.now() + this.signedUrlTtlMs });
    return `${this.cdnUrl}/cdn/${blob.digest}?signature=${signature}`;
  }

  #whole(exchange: Exchange, blob: TestBlob): Promise<void> {
    const { faults, req } = exchange;
    if (useHtml(faults, req.method === 'HEAD')) {
      return reply(exchange, 200, { 'content-type': 'text/html; charset=utf-8' }, '<html>Sign in</html>', faults);
    }
    const flipped = flip(blob.bytes, faults);
    const headers = {
      'content-type': blob.mediaType,
      ...(exchange.route.kind === 'cdn' || faults?.digestHeader === false
        ? {}
        : { 'docker-content-digest': blob.digest }),
      ...(faults?.gzip ? { 'content-encoding': 'gzip' } : {}),
    };
    return reply(exchange, 200, headers, faults?.gzip ? gzipSync(flipped) : flipped, faults);
  }

  #blob(exchange: Exchange, { bytes, digest }: TestBlob): Promise<void> {
    const { req, route, faults } = exchange;
    const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
    const mediaType = 'application/octet-stream';
    if (!range || faults?.ignoreRange || faults?.html) return this.#whole(exchange, { bytes, digest, mediaType });
    const size = bytes.length;
    const start = Number(range[1]);
    const asked = range[2] ? Number(range[2]) + 1 : Infinity;
    const end = Math.min(size, asked, start + (faults?.maxRange ?? Infinity));
    if (start >= size) return reply(exchange, 416, { 'content-range': `bytes */${size}` }, '');
    const said = {
      right: `bytes ${start}-${end - 1}/${size}`,
      wrong: `bytes ${start + 1}-${end}/${size}`,
      missing: '',
    };
    const contentRange = said[faults?.contentRange ?? 'right'];
    const headers = {
      'content-type': mediaType,
      ...(contentRange ? { 'content-range': contentRange } : {}),
      ...(route.kind === 'cdn' || faults?.digestHeader === false ? {} : { 'docker-content-digest': digest }),
    };
    return reply(exchange, 206, headers, flip(bytes, faults).subarray(start, end), faults);
  }
}

/** One request under way. */
interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly url: URL;
  readonly route: Route;
  readonly record: RecordedRequest;
  readonly faults: Faults | undefined;
}

type Headers = Record<string, string | string[]>;

const JSON_TYPE = { 'content-type': 'application/json' };

/** `bodyFaults`: the faults that touch this body; errors and redirects are sent as they are. */
async function reply(
  { req, res, record, faults }: Exchange,
  status: number,
  headers: Headers,
  body: Buffer | string,
  bodyFaults?: Faults,
): Promise<void> {
  record.status = status;
  const whole = typeof body === 'string' ? Buffer.from(body) : body;
  const bytes = bodyFaults?.shorten && use(bodyFaults.shorten) ? whole.subarray(0, bodyFaults.shorten.bytes) : whole;
  const length = { 'content-length': String(bytes.length + (bodyFaults?.extraLength ?? 0)) };
  res.strictContentLength = false;
  res.writeHead(status, { ...(bodyFaults?.chunked ? {} : length), ...headers, ...faults?.headers });
  if (req.method === 'HEAD') res.end();
  else await sendFaulty(res, bytes, bodyFaults, (sent) => (record.bodyBytes += sent));
}

function fail(exchange: Exchange, status: number, code: string, headers: Headers = {}): Promise<void> {
  const body = JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] });
  return reply(exchange, status, { ...JSON_TYPE, ...headers }, body);
}

function routeOf(path: string): Route {
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' };
  if (path === '/token') return { kind: 'token' };
  if (path.startsWith('/cdn/')) return { kind: 'cdn' };
  const match = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(path);
  if (!match) return { kind: 'other' };
  const kind = { manifests: 'manifest', blobs: 'blob', tags: 'tags', referrers: 'referrers' } as const;
  return { kind: kind[match[2] as keyof typeof kind], repository: match[1]!, reference: match[3]! };
}

function flip(bytes: Buffer, faults: Faults | undefined): Buffer {
  if (!faults?.flip || !use(faults.flip)) return bytes;
  const copy = Buffer.from(bytes);
  const { offset } = faults.flip;
  if (offset < copy.length) copy[offset] = copy[offset]! ^ 0xff;
  return copy;
}

/** The digest of some bytes that no registry has. */
export const ABSENT_DIGEST = digestOf('absent');
