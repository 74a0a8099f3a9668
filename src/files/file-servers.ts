import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { createSecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import type { Metrics } from '../base/metrics.ts';
import { shownPath } from '../base/shown-path.ts';
import { AddressGate } from '../http/address-gate.ts';
import { gatedTransport, type GatedTransport } from '../http/gated-transport.ts';
import { RetiredTransports } from '../http/retired-transports.ts';
import type { PieceSource } from '../p2p/peer/piece-source.ts';
import type { Authoriser } from '../registry/authoriser.ts';
import { RegistryBlob, type FilePlace } from '../registry/blob-fetch.ts';
import { Client } from '../registry/client.ts';
import { parseContentLength, parseContentRange } from '../registry/content-range.ts';
import { OriginFileChanged, OriginRedirectRefused } from '../registry/errors.ts';
import { failureOfStatus, type Errand } from '../registry/failures.ts';
import { httpRead, type BodyTaker, type ReadContext } from '../registry/http-read.ts';
import { ORIGIN_LIMITS, type OriginLimits } from '../registry/limits.ts';
import { isRedirect, mayCarryAuthorization, redirectTarget } from '../registry/redirects.ts';
import { RequestCounter } from '../registry/request-counter.ts';
import { retrying } from '../registry/retry.ts';
import { AllowList } from './allow-list.ts';
import { FilesCaUnusable } from './errors.ts';
import type { FileHeaders } from './file-headers.ts';
import { strongEtag } from './file-id.ts';

/** In the place of an upstream's key in the metrics. */
const LABEL = 'files';
/** Longest host with port that a wish can carry to the supernode, in characters. */
const MAX_SERVER_CHARACTERS = 255;

const TODOS: Readonly<Record<string, string>> = {
  ORIGIN_UNAUTHORIZED: 'check the URL and the login: `hawker get --header-file FILE` or `--netrc-file FILE` sends one',
  ORIGIN_DENIED: 'check the URL, whether its signature is still good, and what the login may read',
  ORIGIN_NOT_FOUND: 'check the URL',
  ORIGIN_RATE_LIMITED: 'wait, and ask again',
  ORIGIN_BAD_RESPONSE: 'check that the URL is that of a file, and that no login page or proxy answers for it',
  ORIGIN_TLS: 'check the certificate of the server; for a private authority set files.ca',
  ORIGIN_REDIRECT_REFUSED: 'if the redirect is right, add a pattern for where it leads to files.allow',
  ADDRESS_REFUSED: 'if the address is right, name its host in files.allow without a star',
};

/** What a server says of a file. */
export interface FileHead {
  /** Undefined: none, or a weak one. */
  readonly etag: string | undefined;
  /** In bytes; undefined where it does not say. */
  readonly size: number | undefined;
}

const NOBODY: Authoriser = {
  authorised: (_repository, send) => send(undefined),
  authorization: () => Promise.resolve(undefined),
  renewed: () => Promise.resolve(undefined),
};

/** What may be fetched, and with whom to trust: `files` of the configuration. */
export interface FileSettings {
  readonly allow: readonly string[];
  readonly ca: string | undefined;
}

/** One way to the servers; another one where its gate or its authorities change. */
interface Way {
  readonly transport: GatedTransport;
  readonly client: Client;
  readonly reading: ReadContext;
}

/** The way to file servers: what is asked of them goes through the allow-list and the address gate, at each redirect too. */
export class FileServers {
  readonly #deps: { readonly metrics: Metrics; readonly clock: Clock; readonly limits: OriginLimits };
  readonly #counter: RequestCounter;
  readonly #retired: RetiredTransports;
  #settings: FileSettings & { readonly authorities: string | undefined };
  #allow: AllowList;
  #way: Way;

  /** Reads the `ca` file. Throws FILES_CA_UNUSABLE. `limits`: for tests. */
  constructor(
    settings: FileSettings,
    { metrics, clock, limits }: { metrics: Metrics; clock: Clock; limits?: Partial<OriginLimits> },
  ) {
    this.#deps = { metrics, clock, limits: { ...ORIGIN_LIMITS, ...limits } };
    this.#retired = new RetiredTransports(clock);
    this.#counter = new RequestCounter(metrics, LABEL);
    this.#settings = { ...settings, authorities: authoritiesIn(settings.ca) };
    this.#allow = new AllowList(settings.allow);
    this.#way = this.#open();
  }

  /**
   * From now on these may be fetched, so. What is being read goes on; where it is redirected anew, the new list counts. Reads the `ca` file
   * again; throws FILES_CA_UNUSABLE, having changed nothing.
   */
  change(settings: FileSettings): void {
    const next = { ...settings, authorities: authoritiesIn(settings.ca) };
    if (isDeepStrictEqual(next, this.#settings)) return;
    const { transport } = this.#way;
    this.#settings = next;
    this.#allow = new AllowList(settings.allow);
    this.#way = this.#open();
    this.#retired.add(transport);
  }

  allows(url: URL): boolean {
    return this.#allow.allows(url);
  }

  /**
   * Asks for a file without its bytes; again where that may help. `headers` go to the very server of the URL, and nowhere that it leads
   * to. Throws OriginErrors and the signal's reason.
   */
  ask(url: URL, headers: FileHeaders | undefined, signal: AbortSignal): Promise<FileHead> {
    return retrying(() => this.#askOnce(url, headers, signal), this.#deps.clock, signal);
  }

  /** A file's bytes, with `headers` as in `ask`. With `etag`, which is strong, those of that version only: any other ends the read with FILE_CHANGED. */
  file(url: URL, etag: string | undefined, headers: FileHeaders | undefined): PieceSource {
    const check = ({ headers }: { headers: IncomingHttpHeaders }): void => {
      if (etag === undefined || headers.etag === etag) return;
      const seen = headers.etag === undefined ? 'no ETag any more' : 'another ETag than before';
      throw new OriginFileChanged({ upstream: url.host, step: 'reading a file', seen });
    };
    const mayRedirect = (errand: Errand, target: URL): void => this.#mustAllow(errand, target);
    const place: FilePlace = { name: nameOf(url), url, headers, check, mayRedirect, todoOf };
    const { reading } = this.#way;
    const origin = { upstream: url.host, baseUrl: url, authoriser: NOBODY, reading };
    const blob = new RegistryBlob({ ...origin, now: () => reading.clock.now() }, place);
    return { kind: 'origin', name: blob.name, read: (range, sink, signal) => blob.read(range, sink, signal) };
  }

  closeIdle(): void {
    for (const transport of [this.#way.transport, ...this.#retired]) transport.closeIdle();
  }

  async close(): Promise<void> {
    await Promise.all([this.#way.transport, ...this.#retired].map((transport) => transport.close()));
  }

  #open(): Way {
    const { clock, limits } = this.#deps;
    const transport = gatedTransport({
      gate: new AddressGate({ open: undefined, allow: this.#allow.hosts }),
      connectTimeoutMs: limits.connectMs,
      ca: this.#settings.authorities,
      insecure: false,
    });
    const client = new Client(transport, limits, this.#counter);
    return { transport, client, reading: { reader: transport.reader, limits, clock, counter: this.#counter } };
  }

  async #askOnce(url: URL, login: FileHeaders | undefined, signal: AbortSignal): Promise<FileHead> {
    const errand = { upstream: url.host, step: 'asking for a file', todoOf };
    const { client, reading } = this.#way;
    const headersFor = (at: URL) => (mayCarryAuthorization(url, at) ? login : undefined);
    const head = await this.#follow(url, errand, (at) =>
      client.ask({ method: 'HEAD', url: at, headers: { ...headersFor(at) }, maxBytes: 0, errand, signal }),
    );
    if (head.status === 200) return headOf(head.headers, parseContentLength(head.headers['content-length']));
    const now = reading.clock.now();
    if (head.status >= 500 || head.status === 429) throw failureOfStatus(errand, { ...head, body: NO_BYTES }, now);
    // Some servers know no HEAD, and a URL that was signed for GET is good for nothing else.
    const got = await this.#follow(url, errand, (at) =>
      httpRead(
        reading,
        { url: at, headers: { ...headersFor(at), range: 'bytes=0-0' }, errand, signal },
        new HeadTaker(),
      ),
    );
    const { status, headers, words, secrets } = got;
    if (status === 200) return headOf(headers, parseContentLength(headers['content-length']));
    if (status === 206) return headOf(headers, parseContentRange(headers['content-range'])?.total);
    if (status === 416 && headers['content-range'] === 'bytes */0') return headOf(headers, 0);
    throw failureOfStatus(errand, { status, headers, body: words, secrets }, now);
  }

  async #follow<T extends { readonly status: number; readonly headers: IncomingHttpHeaders }>(
    url: URL,
    errand: Errand,
    send: (at: URL) => Promise<T>,
  ): Promise<T> {
    for (let at = url, hops = 0; ; hops += 1) {
      const answer = await send(at);
      if (!isRedirect(answer.status)) return answer;
      at = redirectTarget(errand, at, answer.headers.location, { hops, upstreamIsPlain: url.protocol === 'http:' });
      this.#mustAllow(errand, at);
    }
  }

  #mustAllow(errand: Errand, target: URL): void {
    if (this.#allow.allows(target)) return;
    const seen = `a redirect to ${target.protocol}//${target.host}, where no pattern of files.allow fits`;
    throw new OriginRedirectRefused({ ...errand, seen });
  }
}

/** Throws FILES_CA_UNUSABLE. */
function authoritiesIn(ca: string | undefined): string | undefined {
  if (ca === undefined) return undefined;
  try {
    const text = readFileSync(ca, 'utf8');
    // Of a text without any it would be silent.
    if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it holds no certificate');
    createSecureContext({ ca: text });
    return text;
  } catch (error) {
    throw new FilesCaUnusable({ file: shownPath(ca), why: describeError(error) }, { cause: error });
  }
}

const NO_BYTES = new Uint8Array();

/** Wants nothing of a body but an error's words. */
class HeadTaker implements BodyTaker {
  head({ status }: { status: number }): 'words' | 'stop' {
    return status < 300 || isRedirect(status) ? 'stop' : 'words';
  }

  data(): 'stop' {
    return 'stop';
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}

/** Without secrets: what identifies a query is its hash. The server stands before the first slash. */
export function nameOf(url: URL): string {
  const query = url.search === '' ? '' : `?${createHash('sha256').update(url.search).digest('hex').slice(0, 8)}`;
  return `${url.host.slice(0, MAX_SERVER_CHARACTERS)}${url.pathname}${query}`;
}

function headOf(headers: IncomingHttpHeaders, size: number | undefined): FileHead {
  return { etag: strongEtag(headers.etag), size };
}

function todoOf(code: string): string | undefined {
  return TODOS[code];
}
