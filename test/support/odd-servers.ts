import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';
import { WebSocketServer } from 'ws';

export { closedPort } from './closed-port.ts';

/** Serves on a free port of loopback, or on `port`, until the test is over; the port. */
export async function serveOn(t: Test, server: Server, port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Half-open: takes connections, and never says a word. */
export function silent(t: Test): Promise<number> {
  return serveOn(t, createServer());
}

/** Says something else than HTTP. */
export function rubbish(t: Test, says = 'SSH-2.0-OpenSSH_9.2\r\n'): Promise<number> {
  return serveOn(
    t,
    createServer((socket) => socket.end(says)),
  );
}

export function http(t: Test, answer: RequestListener): Promise<number> {
  return serveOn(t, createHttpServer(answer));
}

export interface Odd {
  readonly protocol?: string;
  readonly roster?: object;
  /** What it says first in a session; undefined: it takes it and says nothing. */
  readonly says?: string;
}

/** What passes for a supernode by HTTP, and opens sessions with words of the test's own. */
export function oddSupernode(t: Test, { protocol = '1.0', roster, says }: Odd = {}): Promise<number> {
  const answers: Record<string, object | undefined> = {
    '/livez': { status: 'ok' },
    '/api/v1/status': { role: 'supernode', version: '9.9.9', protocol },
    '/api/v1/peers': roster ?? { peers: [], rejected: [] },
  };
  const server = createHttpServer((request, response) => {
    const answer = answers[request.url ?? ''];
    response.writeHead(answer ? 200 : 404).end(JSON.stringify(answer ?? {}));
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (ws) => {
    ws.on('error', () => undefined);
    if (says !== undefined) ws.send(says);
  });
  t.teardown(() => {
    for (const ws of sockets.clients) ws.terminate();
  });
  return serveOn(t, server);
}
