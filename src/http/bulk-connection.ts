import { connect as connectPlain, isIP, type LookupFunction, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls';
import { bareHost } from '../base/bare-host.ts';
import { KiB } from '../base/units.ts';
import { parseAnswerHead, type AnswerHead } from './body-framing.ts';
import type { BulkHandler } from './bulk-reader.ts';
import { ChunkedBody } from './chunked-body.ts';
import { ConnectTimeout } from './connect-timeout.ts';
import { BadResponseHead, HeadCollector } from './response-head.ts';

/** Each connection reads into one buffer of this size, again and again, where the handler has no room of its own. */
const RECEIVE_BUFFER_BYTES = 128 * KiB;
/** Heads of status 1xx before the final one. */
const MAX_INTERIM_HEADS = 8;

export interface TlsSettings {
  readonly secureContext?: SecureContext;
  readonly rejectUnauthorized: boolean;
}

export interface ConnectionSettings {
  readonly tls: TlsSettings;
  readonly lookup: LookupFunction;
  readonly connectTimeoutMs: number;
}

/** What a connection tells whoever keeps it. */
export interface ConnectionOwner {
  /** The answer is whole: it may be used again within `keepMs` (0: it is closing). */
  free(connection: BulkConnection, keepMs: number): void;
  /** It is closed. */
  gone(connection: BulkConnection): void;
  /** A session that the next connection may resume (TLS). */
  session(session: Buffer): void;
}

class Cut extends Error {
  readonly code = 'ECONNRESET';
}

interface Exchange {
  readonly handler: BulkHandler;
  collector: HeadCollector;
  interim: number;
  head: AnswerHead | undefined;
  /** Bytes of a body with a Content-Length that have not come. */
  remaining: number;
  chunked: ChunkedBody | undefined;
}

/**
 * A connection to an origin that reads bodies from the kernel into one reused buffer (`onread`): that costs a quarter of the
 * CPU time of undici's dispatch, which allocates a buffer a read and copies it into its parser (measured: 0.2 against 0.86 s
 * a GiB). Where the handler has room, a body is read
 * right into that, up to 1 MiB at once (`ByteSink.room`; measured: 0.1 s a GiB less). One GET at a time.
 */
export class BulkConnection {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #timer: NodeJS.Timeout;
  readonly #buffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
  #exchange: Exchange | undefined;
  #paused = false;
  #ended = false;
  #error: Error | undefined;

  /** `session`: of an earlier connection to the same place. */
  constructor(url: URL, settings: ConnectionSettings, owner: ConnectionOwner, session: Buffer | undefined) {
    this.#owner = owner;
    const onread: OnReadOpts = {
      // Asked once a read, after the callback: what is no more of the body never lands in the handler's memory.
      buffer: () => this.#room(),
      callback: (count, buffer) => {
        this.#received(buffer.subarray(0, count));
        return !this.#paused;
      },
    };
    const { connectTimeoutMs } = settings;
    this.#socket = url.protocol === 'https:' ? toTls(url, settings, onread, session) : toPlain(url, settings, onread);
    this.#timer = setTimeout(
      () => this.#socket.destroy(new ConnectTimeout(`no connection within ${connectTimeoutMs} ms`)),
      connectTimeoutMs,
    );
    this.#socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(this.#timer));
    this.#socket.on('session', (fresh: Buffer) => owner.session(fresh));
    this.#socket.on('error', (error) => {
      this.#error = error;
    });
    this.#socket.on('end', () => {
      this.#ended = true;
      this.#socket.destroy();
    });
    this.#socket.on('close', () => this.#closed());
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Sends a request (`requestHead`); the answer goes to `handler`. */
  ask(request: string, handler: BulkHandler): void {
    const collector = new HeadCollector();
    this.#exchange = { handler, collector, interim: 0, head: undefined, remaining: 0, chunked: undefined };
    this.#socket.ref();
    this.#socket.write(request, 'latin1');
  }

  /** Nobody waits for it: it holds no process up. */
  idle(): void {
    this.#socket.unref();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** Closes it; who reads from it hears no more. */
  destroy(): void {
    this.#exchange = undefined;
    this.#socket.destroy();
  }

  /** Closes it; who reads from it is told. */
  fail(error: Error): void {
    const exchange = this.#exchange;
    this.destroy();
    exchange?.handler.failed(error);
  }

  #room(): Uint8Array {
    const exchange = this.#exchange;
    return (exchange?.head && !exchange.chunked && exchange.handler.room?.()) || this.#buffer;
  }

  #received(bytes: Uint8Array): void {
    let at = 0;
    try {
      while (at < bytes.length && this.#exchange) {
        const rest = at === 0 ? bytes : bytes.subarray(at);
        at += this.#exchange.head ? this.#takeBody(this.#exchange, rest) : this.#takeHead(this.#exchange, rest);
      }
    } catch (error) {
      this.fail(error as Error);
      return;
    }
    // More than was asked for: whatever it is, it must not become the answer to the next request.
    if (at < bytes.length) this.#socket.destroy();
  }

  #takeHead(exchange: Exchange, bytes: Uint8Array): number {
    const taken = exchange.collector.feed(bytes);
    const { text } = exchange.collector;
    if (text === undefined) return taken;
    const head = parseAnswerHead(text);
    if (head.status < 200) {
      exchange.interim += 1;
      if (head.status === 101 || exchange.interim > MAX_INTERIM_HEADS)
        throw new BadResponseHead(`status ${head.status}`);
      exchange.collector = new HeadCollector();
      return taken;
    }
    exchange.head = head;
    const { framing } = head;
    if (framing.kind === 'length') exchange.remaining = framing.bytes;
    if (framing.kind === 'chunked') {
      exchange.chunked = new ChunkedBody((chunk) => {
        if (this.#exchange === exchange) exchange.handler.data(chunk);
      });
    }
    exchange.handler.head(head.status, head.headers);
    if (framing.kind === 'length' && framing.bytes === 0) this.#finish(exchange, taken === bytes.length);
    return taken;
  }

  #takeBody(exchange: Exchange, bytes: Uint8Array): number {
    const { chunked, handler } = exchange;
    if (chunked) {
      const taken = chunked.feed(bytes);
      if (chunked.isOver) this.#finish(exchange, taken === bytes.length);
      return taken;
    }
    if (exchange.head!.framing.kind === 'close') {
      handler.data(bytes);
      return bytes.length;
    }
    const taken = Math.min(exchange.remaining, bytes.length);
    exchange.remaining -= taken;
    handler.data(taken === bytes.length ? bytes : bytes.subarray(0, taken));
    if (exchange.remaining === 0) this.#finish(exchange, taken === bytes.length);
    return taken;
  }

  /** `clean`: no byte came behind the answer. */
  #finish(exchange: Exchange, clean: boolean): void {
    if (this.#exchange !== exchange) return;
    this.#exchange = undefined;
    this.resume();
    const keepMs = clean && this.isOpen ? exchange.head!.keepMs : 0;
    if (keepMs === 0) this.#socket.destroy();
    // First the connection, so that who asks for more on hearing of the end finds it warm.
    this.#owner.free(this, keepMs);
    exchange.handler.end();
  }

  #closed(): void {
    clearTimeout(this.#timer);
    this.#owner.gone(this);
    const exchange = this.#exchange;
    if (!exchange) return;
    const isWhole = exchange.head?.framing.kind === 'close' && this.#ended && !this.#error;
    if (isWhole) {
      this.#exchange = undefined;
      exchange.handler.end();
    } else this.fail(this.#error ?? new Cut('the connection was closed'));
  }
}

/** A GET of `url`, with these headers. Throws a TypeError for a header that cannot be sent. */
export function requestHead(url: URL, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ host: url.host, connection: 'keep-alive', ...headers }).map(([name, value]) => {
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw new TypeError(`the header ${name} has characters that none may have`);
    return `${name}: ${value}\r\n`;
  });
  return `GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** As sockets want it: an IPv6 address without its brackets. */
function hostOf(url: URL): string {
  return bareHost(url.hostname);
}

function toPlain(url: URL, { lookup }: ConnectionSettings, onread: OnReadOpts): Socket {
  return connectPlain({ host: hostOf(url), port: Number(url.port || 80), lookup, noDelay: true, onread });
}

function toTls(
  url: URL,
  { tls, lookup }: ConnectionSettings,
  onread: OnReadOpts,
  session: Buffer | undefined,
): TLSSocket {
  const host = hostOf(url);
  const name = isIP(host) === 0 ? { servername: host } : {};
  const options = { host, port: Number(url.port || 443), ALPNProtocols: ['http/1.1'], lookup, onread, ...name, ...tls };
  const socket = connectTls({ ...options, ...(session && { session }) });
  socket.setNoDelay(true);
  return socket;
}
