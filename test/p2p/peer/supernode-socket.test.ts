import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocketServer } from 'ws';
import { stepOf, todoOf } from '../../../src/p2p/peer/session-errors.ts';
import { networkCandidates } from '../../../src/p2p/peer/supernode-dial.ts';
import { ANSWER_TIMEOUT_MS, CONNECT_TIMEOUT_MS } from '../../../src/p2p/peer/supernode-socket.ts';
import { socketPair } from '../../../src/p2p/protocol/socket.ts';
import { blackHole, halfOpen } from '../../support/black-hole.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { makeSupernode, serve, until } from '../../support/swarm-rig.ts';
import { TestCa } from '../../support/test-ca.ts';

async function listen(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function open(clock: ManualClock, url: string, signal?: AbortSignal): Promise<unknown> {
  const [candidate] = await networkCandidates(clock)(url);
  return candidate!.open(signal).then(
    (socket) => socket,
    (error: unknown) => error,
  );
}

/** What comes of it once the time limit of the step has passed; it is pending until then. */
async function afterWaiting(t: Test, url: string, { ms, pending }: { ms: number; pending: () => boolean }) {
  const clock = new ManualClock();
  let error: unknown;
  const opening = open(clock, url).then((result) => (error = result));
  await until('it waits', () => clock.waiting === 1 && pending());
  await clock.advance(ms - 1);
  t.equal(error, undefined, 'not before its time');
  await clock.advance(1);
  await opening;
  t.equal(clock.waiting, 0, 'no timer is left');
  return error;
}

t.test('each step that fails has its error, with what it means and what to do', async (t) => {
  const clock = new ManualClock();
  const closed = createServer();
  const refusing = await listen(t, closed);
  await new Promise((resolve) => closed.close(resolve));
  const refused = await open(clock, `http://127.0.0.1:${refusing}`);
  t.match(refused, { code: 'SUPERNODE_UNREACHABLE', message: /ECONNREFUSED/, todo: /supernode.listen/ });
  t.equal(stepOf(refused), 'connect');

  const cut = await listen(
    t,
    createServer((socket) => socket.once('data', () => socket.destroy())),
  );
  const cutOff = await open(clock, `http://127.0.0.1:${cut}`);
  t.match(cutOff, { code: 'SUPERNODE_LOST', message: /while this proxy waited for an answer to its HTTP request/ });
  t.equal(stepOf(cutOff), 'upgrade');

  const answering = async (status: number, headers: Record<string, string> = {}) =>
    open(
      clock,
      `http://127.0.0.1:${await listen(
        t,
        createHttpServer((_request, response) => response.writeHead(status, headers).end('no')),
      )}`,
    );
  for (const status of [200, 404, 500]) {
    const foreign = await answering(status);
    t.match(foreign, { code: 'SUPERNODE_NOT_HAWKER', message: new RegExp(`HTTP status ${status}`) });
    t.equal(stepOf(foreign), 'upgrade');
  }
  for (const status of [502, 503, 504]) {
    const behind = await answering(status);
    t.match(behind, { code: 'SUPERNODE_UNAVAILABLE', message: /load balancer or mesh/ });
    t.equal(stepOf(behind), 'upgrade');
  }
  t.match(await answering(503, { 'Hawker-Refusal': 'FULL' }), { code: 'FULL', todo: /start another one/ });
  t.match(await answering(503, { 'Hawker-Refusal': 'no code' }), { code: 'SUPERNODE_UNAVAILABLE' });

  const plain = await serve(t, makeSupernode(new ManualClock()));
  const tls = await open(clock, `https://127.0.0.1:${plain.port}`);
  t.match(tls, { code: 'SUPERNODE_TLS', todo: /http/ });
  t.equal(stepOf(tls), 'tls');
  t.equal(clock.waiting, 0, 'no timer is left');
});

t.test('a session knows its address on this machine, over TLS too', async (t) => {
  const clock = new ManualClock();
  const tls = await TestCa.root(t).tls('node');
  for (const [scheme, server] of [
    ['http', createHttpServer()],
    ['https', createHttpsServer(tls.forMembers)],
  ] as const) {
    const sessions = new WebSocketServer({ server });
    const port = await listen(t, server);
    const [candidate] = await networkCandidates(clock, undefined, tls)(`${scheme}://127.0.0.1:${port}`);
    const socket = await candidate!.open();
    t.equal(socket.localAddress, '127.0.0.1', scheme);
    socket.terminate();
    sessions.close();
  }
  t.equal(clock.waiting, 0);
  const [near, far] = socketPair('10.0.0.5');
  t.same([near.localAddress, far.localAddress], ['10.0.0.5', undefined]);
});

t.test('what refuses before there is a session says why', async (t) => {
  const clock = new ManualClock();
  const supernode = makeSupernode(clock);
  const { port } = await serve(t, supernode);
  supernode.close();
  t.match(await open(clock, `http://127.0.0.1:${port}`), { code: 'FULL', todo: /sessions/ });
});

t.test('dropped packets and a server that hangs are told apart', async (t) => {
  const dropping = await blackHole(t);
  const dropped = await afterWaiting(t, `http://127.0.0.1:${dropping.port}`, {
    ms: CONNECT_TIMEOUT_MS,
    pending: () => true,
  });
  t.match(dropped, { code: 'SUPERNODE_TIMEOUT', message: /firewall drops/, todo: /let TCP/ });
  t.equal(stepOf(dropped), 'connect');

  // The kernel takes the connection, so that the second timer, for the answer, is the one that runs out.
  const hanging = await halfOpen(t);
  const clock = new ManualClock();
  const opening = open(clock, `http://127.0.0.1:${hanging.port}`);
  let error: unknown;
  void opening.then((result) => (error = result));
  await until('it is over', () => {
    void clock.advance(50);
    return error !== undefined;
  });
  t.match(error, { code: 'SUPERNODE_SILENT', message: /answer to its HTTP request/ });
  t.equal(stepOf(error), 'upgrade');
  t.match(todoOf(error), /hangs/);

  const mute = createServer();
  let connections = 0;
  mute.on('connection', () => (connections += 1));
  const silent = await afterWaiting(t, `https://127.0.0.1:${await listen(t, mute)}`, {
    ms: ANSWER_TIMEOUT_MS,
    pending: () => connections === 1,
  });
  t.match(silent, { code: 'SUPERNODE_SILENT', message: /TLS handshake/ });
});

t.test('an attempt that is given up leaves no connection and no timer', async (t) => {
  const server = createServer();
  let gone = 0;
  let connections = 0;
  server.on('connection', (socket) => {
    connections += 1;
    socket.on('close', () => (gone += 1));
    socket.resume();
  });
  const url = `http://127.0.0.1:${await listen(t, server)}`;
  const clock = new ManualClock();
  const stop = new AbortController();
  const opening = open(clock, url, stop.signal);
  await until('it waits for an answer', () => connections === 1);
  stop.abort(new Error('enough'));
  t.match(await opening, { message: 'enough' });
  await until('the connection is gone', () => gone === 1);
  t.equal(clock.waiting, 0);
  t.match(await open(clock, url, stop.signal), { message: 'enough' }, 'nor does it begin');
});
