import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { endConnection, onClientGone } from '../../src/http/abort.ts';

async function serve(t: Test, handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Socket> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  t.teardown(() => {
    socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  await once(socket, 'connect');
  return socket;
}

t.test('ends with FIN, behind all that was written, though input is unread', async (t) => {
  const written = Buffer.alloc(3_000_000, 7);
  const socket = await serve(t, (request, response) => {
    response.writeHead(200, { 'Content-Length': 2 * written.length });
    response.write(written);
    endConnection(request);
  });
  // More of a body than the server has read when it ends the connection: a close would make it a reset.
  socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n`);
  socket.write(Buffer.alloc(400_000));
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const got = Buffer.concat(chunks);
  const head = got.indexOf('\r\n\r\n') + 4;
  t.equal(got.length - head, written.length, 'every byte that was written, then the end, and no error');
});

t.test('a client that does not close is let go in the end', async (t) => {
  const closed = resolvers();
  const socket = await serve(t, (request, response) => {
    request.socket.once('close', () => closed.resolve());
    response.write('x');
    endConnection(request, 20);
  });
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  socket.resume();
  await closed.promise;
  t.pass('closed');
});

t.test('tells that a client has gone, and not that a response is done', async (t) => {
  const reasons: string[] = [];
  const gone = resolvers();
  const done = resolvers();
  const socket = await serve(t, (request, response) => {
    onClientGone(response, (reason) => {
      reasons.push(`${request.url} ${reason.code}`);
      gone.resolve();
    });
    if (request.url === '/done') response.end('x', done.resolve);
  });
  socket.write('GET /done HTTP/1.1\r\nHost: x\r\n\r\n');
  await done.promise;
  socket.write('GET /waits HTTP/1.1\r\nHost: x\r\n\r\nGET /queued HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise((resolve) => setImmediate(resolve));
  socket.resume();
  socket.destroy();
  await gone.promise;
  t.match(reasons[0], '/waits CLIENT_GONE');
  t.notOk(reasons.some((reason) => reason.startsWith('/done')));
});

t.test('a client that has gone before is told at once', async (t) => {
  const told = resolvers();
  const socket = await serve(t, (request, response) => {
    request.socket.once('close', () => {
      onClientGone(response, () => told.resolve());
      endConnection(request);
    });
    request.socket.destroy();
  });
  socket.on('error', () => undefined);
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await told.promise;
  t.pass('told');
});

function resolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}
