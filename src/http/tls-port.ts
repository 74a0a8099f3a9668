import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { describeError } from '../base/errors.ts';
import { Places } from './places.ts';

/** From the connection to the end of its handshake. */
export const HANDSHAKE_MS = 5000;
/** Connections that are not through their handshake: of all, and from one address, or one /64 of IPv6. One takes up to 100 KB. */
export const MAX_HANDSHAKES = 1024;
export const MAX_HANDSHAKES_PER_ADDRESS = 128;

/** How a TLS connection begins: the type of a record that holds a handshake (RFC 8446, section 5.1). */
export const TLS_HANDSHAKE_RECORD = 0x16;

/** What a request without TLS is answered: its cause in a header, and in words (RFC 9110, section 15.5.22). */
const PLAIN_BODY = JSON.stringify({
  code: 'TLS_NEEDED',
  message: 'this port speaks TLS only',
  todo: 'ask by https://; a node of this cluster needs cluster.tls',
});

export interface TlsPortOptions {
  /** The name of the header that holds the code TLS_NEEDED in the answer to a request without TLS. */
  readonly refusalHeader: string;
  /** A request came without TLS, and began so; it is being answered. */
  readonly plain?: (from: string, beginning: string) => void;
  /** A TLS handshake came to nothing. */
  readonly failed?: (from: string, why: string) => void;
}

interface Pending {
  readonly from: string;
  readonly socket: Socket;
  readonly timer: NodeJS.Timeout;
  /** Gives its place back. */
  readonly release: () => void;
  isTls: boolean;
  why: string;
}

/**
 * The way into an HTTPS server: handshakes are limited in time and number, and who speaks plain HTTP is told so, where a TLS server
 * would just close. The first byte decides.
 */
export class TlsPort {
  readonly #options: TlsPortOptions;
  readonly #secure: (socket: Socket) => void;
  /** By address and port of the other end. */
  readonly #pending = new Map<string, Pending>();
  readonly #places = new Places({ perAddress: MAX_HANDSHAKES_PER_ADDRESS, overall: MAX_HANDSHAKES });

  constructor(server: Server, options: TlsPortOptions) {
    this.#options = options;
    // The server's own, which wraps the connection.
    const [secure] = server.listeners('connection') as ((socket: Socket) => void)[];
    this.#secure = (socket) => secure!.call(server, socket);
    server.off('connection', secure!);
    server.on('connection', (socket: Socket) => this.#take(socket));
    server.on('secureConnection', (socket: TLSSocket) => this.#done(keyOf(socket)));
    server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
      const pending = this.#pending.get(keyOf(socket));
      if (pending) pending.why = describeError(error);
    });
  }

  /** Ends the connections that are not through their handshake. */
  close(): void {
    for (const { socket } of this.#pending.values()) socket.destroy();
  }

  #take(socket: Socket): void {
    const from = socket.remoteAddress;
    // Another listener has closed it, or it has closed itself.
    if (socket.destroyed || from === undefined) {
      socket.destroy();
      return;
    }
    const release = this.#places.take(from);
    if (!release) {
      socket.destroy();
      return;
    }
    const key = keyOf(socket);
    const timer = setTimeout(() => {
      pending.why = `it was not through within ${HANDSHAKE_MS} ms`;
      socket.destroy();
    }, HANDSHAKE_MS);
    timer.unref();
    const pending: Pending = { from, socket, timer, release, isTls: false, why: 'it broke off' };
    this.#pending.set(key, pending);
    socket.on('error', (error) => {
      pending.why = describeError(error);
    });
    socket.once('close', () => this.#closed(key, pending));
    socket.once('readable', () => this.#begin(pending));
  }

  #begin(pending: Pending): void {
    const { socket, from } = pending;
    const first = socket.read() as Buffer | null;
    if (first === null) {
      socket.destroy();
    } else if (first[0] === TLS_HANDSHAKE_RECORD) {
      pending.isTls = true;
      socket.unshift(first);
      this.#secure(socket);
    } else {
      socket.resume();
      socket.end(plainAnswer(this.#options.refusalHeader));
      this.#options.plain?.(from, first.toString('latin1', 0, 256));
    }
  }

  #closed(key: string, pending: Pending): void {
    // Its address may be another's by now.
    if (this.#pending.get(key) !== pending) return;
    this.#done(key);
    // The reason of a server that closes comes after the close.
    if (pending.isTls) setImmediate(() => this.#options.failed?.(pending.from, pending.why));
  }

  #done(key: string): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    clearTimeout(pending.timer);
    this.#pending.delete(key);
    pending.release();
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function plainAnswer(refusalHeader: string): string {
  return [
    'HTTP/1.1 426 Upgrade Required',
    `${refusalHeader}: TLS_NEEDED`,
    'Upgrade: TLS/1.2, HTTP/1.1',
    'Connection: close, Upgrade',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(PLAIN_BODY)}`,
    '',
    PLAIN_BODY,
  ].join('\r\n');
}
