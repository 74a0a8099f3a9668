import type { IncomingMessage, ServerResponse } from 'node:http';

/** How long a connection that has been ended from here may take to close, in milliseconds. */
const LINGER_MS = 5000;

/**
 * Ends a connection after what has been written: FIN, never RST. containerd resumes after a FIN and fails the pull on an RST,
 * and the kernel turns a close into an RST while input is unread: so only the sending side is shut, what the client still
 * sends is read away, and the socket goes when the client closes it, or after `lingerMs`.
 */
export function endConnection(request: IncomingMessage, lingerMs = LINGER_MS): void {
  const { socket } = request;
  if (socket.destroyed) return;
  request.resume();
  socket.end();
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}

/** Why a client's signal aborts. */
export class ClientGone extends Error {
  readonly code = 'CLIENT_GONE';
  constructor() {
    super('the client closed the connection');
    this.name = 'ClientGone';
  }
}

/** Calls back when the connection closes before the response has been sent whole. */
export function onClientGone(response: ServerResponse, callback: (reason: ClientGone) => void): void {
  const { socket } = response.req;
  const closed = (): void => {
    if (!response.writableFinished) callback(new ClientGone());
  };
  if (socket.destroyed) {
    closed();
    return;
  }
  // Not the response's own event: one that waits behind another on its connection never gets it.
  socket.once('close', closed);
  response.once('finish', () => socket.off('close', closed));
}
