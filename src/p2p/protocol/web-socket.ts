import type { RawData, WebSocket } from 'ws';
import { describeError } from '../../base/errors.ts';
import type { SessionSocket, SocketListener } from './socket.ts';

/** How long the other end has to answer a close. */
const CLOSE_MS = 2000;

/** One end of a session over a WebSocket (RFC 6455) of the `ws` library. Binary messages, which have no meaning, read as ''. */
export class WebSocketEnd implements SessionSocket {
  readonly localAddress: string | undefined;
  readonly #ws: WebSocket;
  readonly #proved: (() => void) | undefined;
  #listener: SocketListener | undefined;
  #fault: string | undefined;
  /** What came before there was a listener. */
  #early: string[] = [];
  #earlyClose: [number, string] | undefined;

  /** `proved` is told when the other end has shown that it is a member. */
  constructor(
    ws: WebSocket,
    { proved, localAddress }: { proved?: () => void; localAddress?: string | undefined } = {},
  ) {
    this.#ws = ws;
    this.#proved = proved;
    this.localAddress = localAddress;
    ws.on('message', (data: RawData, isBinary: boolean) => this.#message(isBinary ? '' : textOf(data)));
    ws.on('error', (error) => {
      this.#fault ??= describeError(error);
    });
    ws.on('close', (code, reason) => this.#closed(code, reason.toString()));
  }

  get backlog(): number {
    return this.#ws.bufferedAmount;
  }

  send(text: string): void {
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.send(text);
  }

  close(code: number, reason: string): void {
    if (this.#ws.readyState >= this.#ws.CLOSING) return;
    this.#ws.close(
      code,
      Buffer.from(reason)
        .subarray(0, 120)
        .toString('latin1')
        .replaceAll(/[^\x20-\x7e]/g, '?'),
    );
    const timer = setTimeout(() => this.#ws.terminate(), CLOSE_MS);
    timer.unref();
    this.#ws.once('close', () => clearTimeout(timer));
  }

  terminate(): void {
    this.#ws.terminate();
  }

  proved(): void {
    this.#proved?.();
  }

  listen(listener: SocketListener): void {
    setImmediate(() => {
      this.#listener = listener;
      for (const text of this.#early) listener.message(text);
      this.#early = [];
      if (this.#earlyClose) listener.closed(...this.#earlyClose, this.#fault);
    });
  }

  #message(text: string): void {
    if (this.#listener) this.#listener.message(text);
    else this.#early.push(text);
  }

  #closed(code: number, reason: string): void {
    if (this.#listener) this.#listener.closed(code, reason, this.#fault);
    else this.#earlyClose = [code, reason];
  }
}

function textOf(data: RawData): string {
  return Buffer.isBuffer(data)
    ? data.toString()
    : Buffer.concat(Array.isArray(data) ? data : [Buffer.from(data)]).toString();
}
