import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { Metrics } from '../base/metrics.ts';
import { AddressGate } from '../http/address-gate.ts';
import { gatedTransport, type GatedTransport } from '../http/gated-transport.ts';
import type { PieceSource } from '../p2p/peer/piece-source.ts';
import type { Authoriser } from '../registry/authoriser.ts';
import { RegistryBlob, type FilePlace } from '../registry/blob-fetch.ts';
import { Client } from '../registry/client.ts';
import { parseContentLength, parseContentRange } from '../registry/content-range.ts';
import { OriginFileChanged, OriginRedirectRefused } from '../registry/errors.ts';
import { failureOfStatus, type Errand } from '../registry/failures.ts';
import { httpRead, type BodyTaker, type ReadContext } from '../registry/http-read.ts';
import { ORIGIN_LIMITS, type OriginLimits } from '../registry/limits.ts';
import { isRedirect, redirectTarget } from '../registry/redirects.ts';
import { RequestCounter } from '../registry/request-counter.ts';
import { retrying } from '../registry/retry.ts';
import type { AllowList } from './allow-list.ts';
import { strongEtag } from './file-id.ts';

/** In the place of an upstream's key in the metrics. */
const LABEL = 'files';
/** Longest host with port that a wish can carry to the supernode, in characters. */
const MAX_SERVER_CHARACTERS = 255;

const TODOS: Readonly<Record<string, string>> = {
  ORIGIN_UNAUTHORIZED: 'check the URL: a file behind a login cannot be fetched, one behind a signed URL can',
  ORIGIN_DENIED: 'check the URL, and whether its signature is still good',
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

/** The way to file servers: what is asked of them goes through the allow-list and the address gate, at each redirect too. */
export class FileServers {
  readonly #allow: AllowList;
  readonly #transport: GatedTransport;
  readonly #client: Client;
  readonly #reading: ReadContext;

  /** Reads the `ca` file, and throws its error. `limits`: for tests. */
  constructor(
    { allow, ca }: { allow: AllowList; ca: string | undefined },
    { metrics, clock, limits }: { metrics: Metrics; clock: Clock; limits?: Partial<OriginLimits> },
  ) {
    const all = { ...ORIGIN_LIMITS, ...limits };
    this.#allow = allow;
    this.#transport = gatedTransport({
      gate: new AddressGate({ open: undefined, allow: allow.hosts }),
      connectTimeoutMs: all.connectMs,
      ca: ca === undefined ? undefined : readFileSync(ca, 'utf8'),
      insecure: false,
    });
    const counter = new RequestCounter(metrics, LABEL);
    this.#client = new Client(this.#transport, all, counter);
    this.#reading = { reader: this.#transport.reader, limits: all, clock, counter };
  }

  allows(url: URL): boolean {
    return this.#allow.allows(url);
  }

  /** Asks for a file without its bytes; again where that may help. Throws OriginErrors and the signal's reason. */
  ask(url: URL, signal: AbortSignal): Promise<FileHead> {
    return retrying(() => this.#askOnce(url, signal), this.#reading.clock, signal);
  }

  /** A file's bytes. With `etag`, which is strong, those of that version only: any other ends the read with FILE_CHANGED. */
  file(url: URL, etag: string | undefined): PieceSource {
    const check = ({ headers }: { headers: IncomingHttpHeaders }): void => {
      if (etag === undefined || headers.etag === etag) return;
      const seen = headers.etag === undefined ? 'no ETag any more' : 'another ETag than before';
      throw new OriginFileChanged({ upstream: url.host, step: 'reading a file', seen });
    };
    const mayRedirect = (errand: Errand, target: URL): void => this.#mustAllow(errand, target);
    const place: FilePlace = { name: nameOf(url), url, check, mayRedirect, todoOf };
    const { clock } = this.#reading;
    const origin = { upstream: url.host, baseUrl: url, authoriser: NOBODY, reading: this.#reading };
    const blob = new RegistryBlob({ ...origin, now: () => clock.now() }, place);
    return { kind: 'origin', name: blob.name, read: (range, sink, signal) => blob.read(range, sink, signal) };
  }

  closeIdle(): void {
    this.#transport.closeIdle();
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async #askOnce(url: URL, signal: AbortSignal): Promise<FileHead> {
    const errand = { upstream: url.host, step: 'asking for a file', todoOf };
    const head = await this.#follow(url, errand, (at) =>
      this.#client.ask({ method: 'HEAD', url: at, maxBytes: 0, errand, signal }),
    );
    if (head.status === 200) return headOf(head.headers, parseContentLength(head.headers['content-length']));
    const now = this.#reading.clock.now();
    if (head.status >= 500 || head.status === 429) throw failureOfStatus(errand, { ...head, body: NO_BYTES }, now);
    // Some servers know no HEAD, and a URL that was signed for GET is good for nothing else.
    const got = await this.#follow(url, errand, (at) =>
      httpRead(this.#reading, { url: at, headers: { range: 'bytes=0-0' }, errand, signal }, new HeadTaker()),
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
