import { connect, type OnReadOpts, type Socket } from 'node:net';
import type { Clock } from '../../base/clock.ts';
import { isOutOfDescriptors } from '../../base/descriptors.ts';
import { codeOf } from '../../base/errors.ts';
import type { Limiter } from '../../base/limiter.ts';
import { KiB } from '../../base/units.ts';
import { BadResponseHead } from '../../http/response-head.ts';
import { CLOSED_AFTER_HANDSHAKE, tlsFault } from '../protocol/cluster-tls.ts';
import { NoDescriptor, PeerBadResponse, PeerCut, PeerStalled, PeerTls, PeerUnreachable } from './errors.ts';
import type { PieceTls } from './piece-tls.ts';
import { ResponseHeadParser, type ResponseHead } from './response-head.ts';

/** Each connection reads into one buffer of this size, again and again, where the taker has no room of its own. */
const RECEIVE_BUFFER_BYTES = 128 * KiB;
/** A first SYN that is lost is sent again after 1 s. */
export const CONNECT_MS = 1500;
/** From the connection on, for the TLS handshake. */
export const HANDSHAKE_MS = 1500;
/** What a TLS port answers to a request without TLS (http/tls-port.ts). */
const UPGRADE_REQUIRED = 426;
/** Without a byte from a peer, while we want one. */
export const STALL_MS = 1000;
/** A timer that is this late: this process did not run meanwhile. */
const PAUSED_MS = 500;

/** Takes one answer. What its methods throw ends the exchange, and the connection, with that very error. */
export interface AnswerTaker {
  /** The request is a HEAD: no body follows, whatever its Content-Length says (RFC 9110, section 9.3.2). */
  readonly isHead?: boolean;
  head(head: ResponseHead): void;
  /** A chunk of the body, good until it returns; false: no more until `drained`. */
  write(chunk: Uint8Array): boolean;
  drained(): Promise<void>;
  /** As `ByteSink.room`. */
  room?(): Uint8Array | undefined;
}

export interface ConnectionDeps {
  readonly clock: Clock;
  /** Of what is received. */
  readonly limiter: Limiter;
  /** Undefined: in clear. */
  readonly tls?: PieceTls | undefined;
}

/** One request and its answer. */
interface Exchange {
  readonly peer: string;
  readonly taker: AnswerTaker;
  readonly signal: AbortSignal;
  readonly parser: ResponseHeadParser;
  /** Bytes of the body that have not come. */
  remaining: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** Where a connection goes, and to whom. */
export interface Endpoint {
  readonly peer: string;
  /** `host:port`, an IPv6 host in brackets. */
  readonly address: string;
}

/**
 * A kept-alive connection to a piece server: one exchange at a time. Bytes go from the kernel right into the taker's room, where
 * it has some, else into one reused buffer and from there to the taker; nothing is allocated for a chunk but a view.
 */
export class PieceConnection {
  readonly address: string;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #limiter: Limiter;
  readonly #isTls: boolean;
  readonly #buffer = Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
  #exchange: Exchange | undefined;
  #held = false;
  /** When the last byte came, or the taker was ready for the next, on the monotonic clock. */
  #progressAt = 0;
  #cancelWatch: (() => void) | undefined;
  #answered = false;
  /** A byte of any answer came. */
  #isGood = false;
  #error: Error | undefined;
  /** Called when the connection closes while nothing is asked of it. */
  onIdleClose: (() => void) | undefined;

  /** Rejects with PEER_UNREACHABLE, PEER_TLS, DESCRIPTORS_EXHAUSTED (this process' own fault), or the signal's reason. */
  static async open(to: Endpoint, deps: ConnectionDeps, signal: AbortSignal): Promise<PieceConnection> {
    signal.throwIfAborted();
    const connection = new PieceConnection(to, deps);
    await connection.#connected(to, signal);
    return connection;
  }

  private constructor({ address }: Endpoint, { clock, limiter, tls }: ConnectionDeps) {
    this.address = address;
    this.#clock = clock;
    this.#limiter = limiter;
    this.#isTls = tls !== undefined;
    const url = new URL(`http://${address}`);
    const host = url.hostname.replaceAll(/^\[|\]$/g, '');
    const port = Number(url.port || 80);
    const onread: OnReadOpts = {
      // Asked once a read, after the callback: what is no more of the body never lands in the taker's memory.
      buffer: () => this.#room(),
      callback: (count, buffer) => {
        this.#received(buffer.subarray(0, count));
        return !this.#held;
      },
    };
    this.#socket = tls?.connect({ host, port, onread }) ?? connect({ host, port, noDelay: true, onread });
    this.#socket.on('error', (error) => {
      this.#error = error;
    });
    this.#socket.on('end', () => this.#socket.destroy());
    this.#socket.on('close', () => this.#closed());
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /** Whether a byte of the last answer came. */
  get answered(): boolean {
    return this.#answered;
  }

  /**
   * Sends a request; its answer goes to `taker`. Resolves when the answer is whole and paid for; the connection is then free
   * for the next, if it `isOpen`. Rejects with PEER_CUT, PEER_STALLED, PEER_BAD_RESPONSE, what the taker throws, or the
   * signal's reason, and is closed.
   */
  ask(request: string, peer: string, taker: AnswerTaker, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const exchange = { peer, taker, signal, parser: new ResponseHeadParser(), remaining: 0, resolve, reject };
      this.#exchange = exchange;
      this.#answered = false;
      if (signal.aborted) return this.#fail(exchange, signal.reason);
      if (!this.isOpen) return this.#fail(exchange, this.#cut(exchange));
      signal.addEventListener('abort', this.#aborted, { once: true });
      this.#progressAt = this.#clock.monotonic();
      this.#watch(exchange, STALL_MS);
      this.#socket.write(request, 'latin1');
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #connected(to: Endpoint, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const ready = this.#isTls ? 'secureConnect' : 'connect';
      let isThere = false;
      const settle = (error?: unknown): void => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        this.#socket.off(ready, settle).off('connect', onConnect).off('close', onClose);
        if (error === undefined) return resolve();
        this.#socket.destroy();
        reject(error);
      };
      const onAbort = (): void => settle(signal.reason);
      const onConnect = (): void => {
        isThere = true;
        if (!this.#isTls) return;
        cancel();
        const seen = `no TLS handshake within ${HANDSHAKE_MS} ms`;
        cancel = this.#clock.after(HANDSHAKE_MS, () => settle(new PeerTls({ ...to, seen })));
      };
      const onClose = (): void => settle(this.#notConnected(to, isThere));
      const onLate = (): void => settle(new PeerUnreachable({ ...to, seen: `no connection within ${CONNECT_MS} ms` }));
      let cancel = this.#clock.after(CONNECT_MS, onLate);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#socket.once('connect', onConnect).once(ready, settle).once('close', onClose);
    });
  }

  /** `isThere`: somebody took the connection, and it has failed since. */
  #notConnected(to: Endpoint, isThere: boolean): Error {
    const cause = this.#error;
    if (this.#isTls && isThere) {
      return new PeerTls(
        { ...to, seen: tlsFault(cause) ?? `it ended the TLS handshake (${codeOf(cause)})` },
        { cause },
      );
    }
    const Failure = isOutOfDescriptors(cause) ? NoDescriptor : PeerUnreachable;
    return new Failure({ ...to, seen: codeOf(cause) }, { cause });
  }

  #room(): Uint8Array {
    const exchange = this.#exchange;
    return (exchange && exchange.remaining > 0 && exchange.taker.room?.()) || this.#buffer;
  }

  #received(bytes: Uint8Array): void {
    const exchange = this.#exchange;
    if (!exchange) {
      // Nothing was asked.
      this.#socket.destroy();
      return;
    }
    this.#answered = true;
    this.#isGood = true;
    this.#progressAt = this.#clock.monotonic();
    try {
      const start = exchange.parser.head ? 0 : this.#takeHead(exchange, bytes);
      if (exchange.parser.head) this.#takeBody(exchange, start === 0 ? bytes : bytes.subarray(start));
    } catch (error) {
      const seen = error instanceof BadResponseHead ? this.#bad(exchange, error.message) : error;
      this.#fail(exchange, seen);
    }
  }

  #takeHead(exchange: Exchange, chunk: Uint8Array): number {
    const length = exchange.parser.feed(chunk);
    const { head } = exchange.parser;
    if (head?.status === UPGRADE_REQUIRED && !this.#isTls) {
      const seen = 'it speaks TLS only (cluster.tls is set there, and not on this node)';
      throw new PeerTls({ peer: exchange.peer, address: this.address, seen });
    }
    if (head) {
      exchange.remaining = exchange.taker.isHead === true ? 0 : head.contentLength;
      exchange.taker.head(head);
    }
    return length;
  }

  #takeBody(exchange: Exchange, chunk: Uint8Array): void {
    if (chunk.length > exchange.remaining) throw this.#bad(exchange, 'more bytes than its Content-Length');
    const goOn = chunk.length === 0 || exchange.taker.write(chunk);
    exchange.remaining -= chunk.length;
    const owed = this.#pay(chunk.length);
    if (owed > 0 || (!goOn && exchange.remaining > 0)) void this.#hold(exchange, goOn, owed);
    else if (exchange.remaining === 0) this.#finish(exchange);
  }

  /** Pays for received bytes; how many have to wait for the limiter. */
  #pay(bytes: number): number {
    let owed = bytes;
    while (owed > 0) {
      const paid = this.#limiter.tryTake(owed);
      if (paid === 0) break;
      owed -= paid;
    }
    return owed;
  }

  /** Reads no more until the taker is ready and what came is paid for; that is no stall of the peer. */
  async #hold(exchange: Exchange, goOn: boolean, owed: number): Promise<void> {
    this.#held = true;
    this.#cancelWatch?.();
    try {
      if (!goOn && exchange.remaining > 0) await exchange.taker.drained();
      for (let left = owed; left > 0;) left -= await this.#limiter.take(left, exchange.signal);
    } catch (error) {
      this.#fail(exchange, error);
    }
    this.#held = false;
    if (this.#exchange !== exchange) return;
    this.#socket.resume();
    if (exchange.remaining === 0) {
      this.#finish(exchange);
      return;
    }
    this.#progressAt = this.#clock.monotonic();
    this.#watch(exchange, STALL_MS);
  }

  #watch(exchange: Exchange, ms: number): void {
    const dueAt = this.#clock.monotonic() + ms;
    this.#cancelWatch = this.#clock.after(ms, () => {
      // What did not let this process run may have held the peer up too.
      if (this.#clock.monotonic() - dueAt >= PAUSED_MS) this.#progressAt = this.#clock.monotonic();
      // What has come while this process was busy is still in the socket: it is read before the verdict.
      setImmediate(() => this.#judge(exchange));
    });
  }

  #judge(exchange: Exchange): void {
    if (this.#exchange !== exchange || this.#held) return;
    const idle = this.#clock.monotonic() - this.#progressAt;
    if (idle < STALL_MS) this.#watch(exchange, STALL_MS - idle);
    else this.#fail(exchange, new PeerStalled({ peer: exchange.peer, address: this.address, ms: STALL_MS }));
  }

  readonly #aborted = (): void => {
    if (this.#exchange) this.#fail(this.#exchange, this.#exchange.signal.reason);
  };

  #closed(): void {
    if (this.#exchange) this.#fail(this.#exchange, this.#cut(this.#exchange));
    else this.onIdleClose?.();
  }

  #finish(exchange: Exchange): void {
    this.#settle(exchange);
    if (!exchange.parser.head!.keepAlive) this.#socket.destroy();
    exchange.resolve();
  }

  #fail(exchange: Exchange, error: unknown): void {
    if (this.#exchange !== exchange) return;
    this.#settle(exchange);
    this.#socket.destroy();
    exchange.reject(error);
  }

  #settle(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#cancelWatch?.();
    exchange.signal.removeEventListener('abort', this.#aborted);
  }

  #cut({ peer }: Exchange): Error {
    // A server's no to the certificate comes after the handshake.
    const closed = this.#isGood ? undefined : CLOSED_AFTER_HANDSHAKE;
    const fault = this.#isTls ? (tlsFault(this.#error) ?? closed) : undefined;
    if (fault !== undefined) {
      return new PeerTls({ peer, address: this.address, seen: fault }, { cause: this.#error });
    }
    const seen = this.#error ? codeOf(this.#error) : 'the connection was closed';
    return new PeerCut({ peer, address: this.address, seen }, { cause: this.#error });
  }

  #bad({ peer }: Exchange, seen: string): Error {
    return new PeerBadResponse({ peer, address: this.address, seen });
  }
}
