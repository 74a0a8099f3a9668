import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { ByteSource, Metrics } from '../base/metrics.ts';
import { onClientGone } from '../http/abort.ts';
import type { Upstream } from '../registry/upstream.ts';
import type { Asker } from './asker.ts';
import type { Client } from './askers.ts';
import { FirstByteLate } from './errors.ts';
import type { Scope } from './namespace.ts';
import { unlessAborted } from './unless-aborted.ts';

/**
 * How long a client waits for the head of a response, in milliseconds; then it gets a 404, on which it goes to the origin at
 * once. containerd gives up at 30 s, and would not try the next host.
 */
export const FIRST_BYTE_MS = 25_000;

/** One request about a repository, and its response. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly asker: Asker;
  /** What the client has sent for the registry: its `Authorization`, unless that was a login at the mirror. */
  readonly authorization: string | undefined;
  /** Aborts when the client has gone, or (FIRST_BYTE_LATE) when the head is not out in time. */
  readonly signal: AbortSignal;
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #cancelDeadline: () => void;
  /** The name under which the client has logged in at this mirror, if it has. */
  identity: string | undefined;
  /** The digest that the head of the response names. */
  digest: string | undefined;
  /** Body bytes that have left, and where they came from. */
  bytes = 0;
  readonly sources = new Set<ByteSource>();
  #hasHead = false;
  #scope: Scope;
  #whenHead: () => void = () => undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    scope: Scope,
    { asker, authorization }: Client,
    deps: { metrics: Metrics; clock: Clock },
  ) {
    this.request = request;
    this.response = response;
    this.#scope = scope;
    this.asker = asker;
    this.identity = asker.user;
    this.authorization = authorization;
    this.#metrics = deps.metrics;
    this.#clock = deps.clock;
    this.#startedAt = deps.clock.monotonic();
    const controller = new AbortController();
    this.signal = controller.signal;
    this.#cancelDeadline = deps.clock.after(FIRST_BYTE_MS, () =>
      controller.abort(new FirstByteLate({ waitedMs: FIRST_BYTE_MS })),
    );
    onClientGone(response, (reason) => controller.abort(reason));
    response.once('close', this.#cancelDeadline);
  }

  get scope(): Scope {
    return this.#scope;
  }

  /** From here on the registry is asked with what the client has sent for it. */
  askBy(upstream: Upstream): void {
    this.#scope = { ...this.#scope, upstream };
  }

  /** The client gets what it asked for: the head of its response is set. */
  get hasHead(): boolean {
    return this.#hasHead;
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD';
  }

  /** Calls back when the head is set, or the connection closes without one. */
  onHead(callback: () => void): void {
    this.#whenHead = callback;
    if (this.response.closed || this.response.destroyed) callback();
    else this.response.once('close', callback);
  }

  /** A header of the request, if it came just once. */
  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** What `promise` gives, unless the signal aborts first. What others share goes on. */
  unlessOver<T>(promise: Promise<T>): Promise<T> {
    return unlessAborted(promise, this.signal);
  }

  /** Sets the head, which leaves with the first byte. From here on the response can only be finished or cut off. */
  head(status: number, headers: OutgoingHttpHeaders): void {
    this.#cancelDeadline();
    this.#whenHead();
    this.#hasHead = true;
    this.digest = headerIn(headers, 'docker-content-digest');
    this.response.writeHead(status, {
      'Docker-Distribution-Api-Version': 'registry/2.0',
      ...(this.scope.ns === undefined ? {} : { 'OCI-Namespace': this.scope.ns }),
      ...headers,
    });
  }

  /** Says that the first byte of the body is about to leave. */
  firstByte(source: ByteSource): void {
    this.#metrics.timeToFirstByte.observe({ source }, (this.#clock.monotonic() - this.#startedAt) / 1000);
  }

  /** Says that bytes have left. */
  sent(source: ByteSource, bytes: number): void {
    this.#metrics.sentToClient(source, bytes);
    this.sources.add(source);
    this.bytes += bytes;
  }
}

function headerIn(headers: OutgoingHttpHeaders, wanted: string): string | undefined {
  const [, value] = Object.entries(headers).find(([name]) => name.toLowerCase() === wanted) ?? [];
  return value === undefined ? undefined : String(value);
}
