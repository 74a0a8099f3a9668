import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { clientCertificate } from '../../http/client-certificate.ts';
import { isLoopbackHost, LOOPBACK_HOSTS } from '../../http/loopback-host.ts';
import type { StrangerLimit } from '../../http/stranger-limit.ts';
import type { RefusalCode } from '../protocol/errors.ts';
import { MAX_MESSAGE_BYTES } from '../protocol/limits.ts';
import { CLOSE, REFUSAL_HEADER } from '../protocol/socket.ts';
import { WebSocketEnd } from '../protocol/web-socket.ts';
import { MAX_UNPROVED_BYTES, type Supernode } from './supernode.ts';

const TOO_MUCH_UNPROVED = `it sent more than ${MAX_UNPROVED_BYTES} bytes before it had proved that it is a member`;

export const SESSION_PATH = '/api/v1/session';

export interface SessionOptions {
  readonly loopbackOnly: boolean;
  /** Sessions are for who shows a certificate of the cluster's CA. */
  readonly needsCertificate: boolean;
  /** Is told who has proved that they belong here. */
  readonly strangers: StrangerLimit;
}

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
export function takeSessions(server: Server, supernode: Supernode, options: SessionOptions): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    clientTracking: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const from = request.socket.remoteAddress ?? 'unknown';
    const refusal = refusalOf(request, supernode, options);
    if (refusal) {
      const { status, because } = refusal;
      socket.on('error', () => socket.destroy());
      // So that a proxy can tell a supernode that refuses from something else that answers.
      const code = because ? `${REFUSAL_HEADER}: ${because.code}\r\n` : '';
      socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${code}Connection: close\r\nContent-Length: 0\r\n\r\n`);
      if (because) supernode.turnedAway(from, because.code, because.message);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws) => {
      const limit = limitUnproved(socket, () => {
        end.close(CLOSE.tooBig, 'MESSAGE_INVALID');
        // Until it is closed nothing more is taken in.
        ws.pause();
        supernode.turnedAway(from, 'MESSAGE_INVALID', TOO_MUCH_UNPROVED);
      });
      const proved = (): void => {
        limit.lift();
        options.strangers.known(request.socket);
      };
      const end = new WebSocketEnd(ws, { proved });
      supernode.accept(end, from);
    });
  });
}

/** A message is held in memory until it is whole: a stranger's may not be as long as a member's. */
function limitUnproved(socket: Duplex, tooMuch: () => void): { lift: () => void } {
  let bytes = 0;
  const count = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes <= MAX_UNPROVED_BYTES) return;
    socket.off('data', count);
    tooMuch();
  };
  socket.on('data', count);
  return { lift: () => void socket.off('data', count) };
}

function refusalOf(
  { url, headers, socket }: IncomingMessage,
  supernode: Supernode,
  { loopbackOnly, needsCertificate }: SessionOptions,
): Refusal | undefined {
  if (url !== SESSION_PATH) return { status: 404 };
  if (loopbackOnly && !isLoopbackHost(headers.host)) {
    return { status: 403, because: { code: 'HOST_REFUSED', message: `it does not ask for ${LOOPBACK_HOSTS}` } };
  }
  const certificate = needsCertificate ? faultOfCertificate(socket) : undefined;
  if (certificate) return { status: 403, because: certificate };
  if (headers.origin !== undefined) {
    return { status: 403, because: { code: 'BROWSER_REFUSED', message: 'it names an Origin, as browsers do' } };
  }
  if (supernode.hasRoom) return undefined;
  return { status: 503, because: { code: 'FULL', message: 'it takes no more connections just now' } };
}

function faultOfCertificate(socket: Socket): Refusal['because'] {
  const shown = clientCertificate(socket);
  if (shown.state === 'accepted') return undefined;
  if (shown.state === 'none') return { code: 'CERTIFICATE_NEEDED', message: 'it shows no certificate' };
  const { name, why } = shown;
  return { code: 'CERTIFICATE_REFUSED', message: `its certificate (${name}) is not accepted: ${why}` };
}
