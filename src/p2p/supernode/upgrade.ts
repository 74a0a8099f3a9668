import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { MAX_MESSAGE_BYTES } from '../protocol/limits.ts';
import { WebSocketEnd } from '../protocol/web-socket.ts';
import type { Supernode } from './supernode.ts';

export const SESSION_PATH = '/api/v1/session';

/**
 * Takes sessions on an HTTP server: WebSockets at `/api/v1/session`, without compression. A browser, which always names the
 * page's `Origin`, is refused: no web page is to speak to a supernode on its visitor's loopback.
 */
export function takeSessions(server: Server, supernode: Supernode): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    clientTracking: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const refusal = refusalOf(request, supernode);
    if (refusal) {
      socket.on('error', () => socket.destroy());
      socket.end(`HTTP/1.1 ${refusal} ${STATUS_CODES[refusal]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const from = request.socket.remoteAddress ?? 'unknown';
    sockets.handleUpgrade(request, socket, head, (ws) => supernode.accept(new WebSocketEnd(ws), from));
  });
}

function refusalOf(request: IncomingMessage, supernode: Supernode): number | undefined {
  if (request.url !== SESSION_PATH) return 404;
  if (request.headers.origin !== undefined) return 403;
  return supernode.hasRoom ? undefined : 503;
}
