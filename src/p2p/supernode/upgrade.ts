import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { isLoopbackHost, LOOPBACK_HOSTS } from '../../http/loopback-host.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import { MAX_MESSAGE_BYTES } from '../protocol/limits.ts';
import { REFUSAL_HEADER } from '../protocol/socket.ts';
import { WebSocketEnd } from '../protocol/web-socket.ts';
import type { Supernode } from './supernode.ts';

export const SESSION_PATH = '/api/v1/session';

/** An HTTP status, and what the roster is to remember. */
interface Refusal {
  readonly status: number;
  readonly because?: { readonly code: RefusalCode; readonly message: string };
}

/**
 * Takes sessions on an HTTP server: WebSockets at `/api/v1/session`, without compression. A browser, which always names the
 * page's `Origin`, is refused: no web page is to speak to a supernode on its visitor's loopback, nor (`loopbackOnly`) under a
 * name that is not the loopback's.
 */
export function takeSessions(server: Server, supernode: Supernode, { loopbackOnly }: { loopbackOnly: boolean }): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    clientTracking: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const from = request.socket.remoteAddress ?? 'unknown';
    const refusal = refusalOf(request, supernode, loopbackOnly);
    if (refusal) {
      const { status, because } = refusal;
      socket.on('error', () => socket.destroy());
      // So that a proxy can tell a supernode that refuses from something else that answers.
      const code = because ? `${REFUSAL_HEADER}: ${because.code}\r\n` : '';
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${code}Connection: close\r\nContent-Length: 0\r\n\r\n`);
      if (because) supernode.turnedAway(from, because.code, because.message);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => supernode.accept(new WebSocketEnd(ws), from));
  });
}

function refusalOf(
  { url, headers }: IncomingMessage,
  supernode: Supernode,
  loopbackOnly: boolean,
): Refusal | undefined {
  if (url !== SESSION_PATH) return { status: 404 };
  if (loopbackOnly && !isLoopbackHost(headers.host)) {
    return { status: 403, because: { code: 'HOST_REFUSED', message: `it does not ask for ${LOOPBACK_HOSTS}` } };
  }
  if (headers.origin !== undefined) {
    return { status: 403, because: { code: 'BROWSER_REFUSED', message: 'it names an Origin, as browsers do' } };
  }
  if (supernode.hasRoom) return undefined;
  return { status: 503, because: { code: 'FULL', message: 'it takes no more connections just now' } };
}
