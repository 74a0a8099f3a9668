import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import httpProxy from 'http-proxy';
import { bareMediaType, isHtmlType } from '../registry/media-types.ts';
import type { Access } from './access.ts';
import { OriginAnswered, OriginBroken } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { rewriteLink } from './link-header.ts';

/** An origin that sends nothing for so long is given up, in milliseconds. */
const ORIGIN_SILENT_MS = 20_000;

/** What the origin gets of a client's headers: no credential, no cookie, nothing about the client's connection. */
const REQUEST_HEADERS = ['accept', 'range', 'if-range', 'if-none-match', 'user-agent'];
/** What a client gets of the origin's headers: all else is about the origin's connection, or for us. */
const RESPONSE_HEADERS = [
  'accept-ranges',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'docker-content-digest',
  'etag',
  'last-modified',
  'oci-filters-applied',
  'oci-subject',
  'warning',
];
/** Statuses that are relayed. All else is a 404 of our own, on which the client asks the origin itself. */
const RELAYED = new Set([200, 204, 206, 301, 302, 303, 304, 307, 308, 400, 416]);

/** What a request to the origin ends in. */
interface Waiting {
  readonly answered: (answer: IncomingMessage) => void;
  readonly sending: (outgoing: ClientRequest) => void;
}

/** Passes reads that are not kept on to the origin: lists, referrers, digests of kinds that are not known here. */
export class PassThrough {
  readonly #access: Access;
  readonly #waiting = new WeakMap<IncomingMessage, Waiting>();
  readonly #proxy = httpProxy.createProxyServer({
    changeOrigin: true,
    selfHandleResponse: true,
    toProxy: true,
    proxyTimeout: ORIGIN_SILENT_MS,
  });

  constructor(deps: { access: Access }) {
    this.#access = deps.access;
    this.#proxy.on('proxyReq', (outgoing, request) => this.#waiting.get(request)?.sending(outgoing));
    this.#proxy.on('proxyRes', (answer, request) => this.#waiting.get(request)?.answered(answer));
  }

  /** Asks the origin for `rest` behind the repository's path, and relays its answer. */
  async serve(exchange: Exchange, rest: string, query: string): Promise<void> {
    const { scope } = exchange;
    this.#access.admit(scope, exchange.asker);
    const { repository, upstream } = scope;
    const { target, agent, headers } = await exchange.unlessOver(upstream.passThrough(repository, exchange.signal));
    const originPath = `${target.pathname.replace(/\/$/, '')}/v2/${scope.repository}`;
    const asked = new URL(`${originPath}/${rest}${query === '' ? '' : `?${query}`}`, target);
    const first = await exchange.unlessOver(this.#ask(exchange, asked, { agent, headers }));
    const refusal = { status: first.statusCode!, headers: first.headers };
    // What was known may have run out since: ECR's passwords do, and tokens.
    const renewed = await exchange
      .unlessOver(upstream.passThroughAgain(repository, refusal, headers, exchange.signal))
      .finally(() => RELAYED.has(refusal.status) || first.destroy());
    const answer = renewed ? await exchange.unlessOver(this.#ask(exchange, asked, { agent, headers: renewed })) : first;
    const status = answer.statusCode!;
    if (!RELAYED.has(status) || isHtmlType(bareMediaType(answer.headers['content-type']))) {
      answer.destroy();
      if (status === 401 || status === 403) await this.#access.revoke(scope);
      throw new OriginAnswered({ host: scope.upstream.host, status });
    }
    const link = answer.headers['link'];
    const links =
      link === undefined ? undefined : rewriteLink([link].flat().join(', '), { base: asked, originPath, ...scope });
    exchange.head(status, {
      ...relayed(answer.headers, asked),
      ...(links === undefined ? {} : { Link: links }),
      'X-Hawker-Source': 'origin',
    });
    await relayBody(exchange, answer);
  }

  /** Resolves with the head of the origin's answer. */
  #ask(
    exchange: Exchange,
    asked: URL,
    to: { agent: unknown; headers: Record<string, string> },
  ): Promise<IncomingMessage> {
    const { request, response, scope, signal } = exchange;
    let isCounted = false;
    const count = (status: number | 'error'): void => {
      if (!isCounted) scope.upstream.counter.request(request.method!, status);
      isCounted = true;
    };
    request.headers = forwarded(request.headers);
    request.url = `${asked.pathname}${asked.search}`;
    const { protocol, hostname, port } = asked;
    const plain = hostname.replaceAll(/^\[|\]$/g, '');
    return new Promise((resolve, reject) => {
      this.#waiting.set(request, {
        answered: (answer) => {
          count(answer.statusCode!);
          resolve(answer);
        },
        // http-proxy may leave a request to the origin running when its client goes (since Node 15.5), or is told 404.
        sending: (outgoing) => {
          const stop = (): void => void outgoing.destroy();
          if (signal.aborted) stop();
          signal.addEventListener('abort', stop, { once: true });
          outgoing.once('close', () => signal.removeEventListener('abort', stop));
        },
      });
      this.#proxy.web(
        request,
        response,
        {
          target: { protocol, host: hostname, hostname: plain, port },
          agent: to.agent,
          headers: to.headers,
          // Never the client's body: with its length left out, it would be a second request to the origin.
          buffer: Readable.from([]),
        },
        (error) => {
          count('error');
          reject(new OriginBroken({ host: scope.upstream.host }, { cause: error }));
        },
      );
    });
  }
}

function forwarded(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept = REQUEST_HEADERS.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]);
  return { ...Object.fromEntries(kept), 'accept-encoding': 'identity' };
}

function relayed(headers: IncomingHttpHeaders, asked: URL): OutgoingHttpHeaders {
  const kept = RESPONSE_HEADERS.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]);
  const { location } = headers;
  const redirect =
    location !== undefined && URL.canParse(location, asked.href) ? { location: new URL(location, asked).href } : {};
  return { ...Object.fromEntries(kept), ...redirect };
}

/** Sends the body on. Rejects when either side breaks off. */
async function relayBody(exchange: Exchange, answer: IncomingMessage): Promise<void> {
  const { response, scope, signal } = exchange;
  const { counter } = scope.upstream;
  const stop = (): void => void answer.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      const broken = (cause?: unknown): void => reject(new OriginBroken({ host: scope.upstream.host }, { cause }));
      answer.once('end', resolve).once('error', broken).once('close', broken);
      answer.on('data', (chunk: Buffer) => {
        counter.bytes(chunk.length);
        exchange.sent('origin', chunk.length);
      });
      answer.pipe(response, { end: false });
    });
  } finally {
    counter.flush();
    signal.removeEventListener('abort', stop);
  }
  response.end();
}
