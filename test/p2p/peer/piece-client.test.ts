import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { IDLE_MS, MAX_IDLE, MAX_IDLE_PER_ADDRESS } from '../../../src/p2p/peer/connection-pool.ts';
import { peerFailureOf } from '../../../src/p2p/peer/errors.ts';
import { MAX_CONNECTIONS_IN_USE, type PeerAddress, type PieceClient } from '../../../src/p2p/peer/piece-client.ts';
import { CONNECT_MS, STALL_MS } from '../../../src/p2p/peer/piece-connection.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { openPieceClient, partOf, SERVER, startPieceServer, until } from '../../support/piece-rig.ts';
import { failureOf, KeepingSink } from '../../support/registry-client.ts';
import { sampleBlob } from '../../support/store-conformance.ts';

const blob = sampleBlob(3 * MiB + 77);
const RANGE = { start: 0, end: 100 };
const PIECE = `HTTP/1.1 206 OK\r\nContent-Length: 100\r\nContent-Range: bytes 0-99/1000\r\n\r\n`;
const BODY = 'x'.repeat(100);

/** A server that does with each request (with its number, on its connection) what the test says. */
async function scripted(
  t: Test,
  answer: (socket: Socket, request: { text: string; count: number; connection: number }) => void,
): Promise<{ peer: PeerAddress; address: string; sockets: Socket[]; server: Server }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const connection = sockets.push(socket);
    let count = 0;
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => answer(socket, { text: bytes.toString(), count: (count += 1), connection }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return { peer: { ...SERVER, addresses: [address] }, address, sockets, server };
}

function fetch(
  client: PieceClient,
  peer: PeerAddress,
  sink = new KeepingSink(),
  signal = new AbortController().signal,
) {
  return client.fetch(peer, blob.digest, RANGE, sink, signal);
}

t.test('says what it wants, and shows its token', async (t) => {
  const texts: string[] = [];
  const { peer, address } = await scripted(t, (socket, { text }) => {
    texts.push(text);
    socket.write(PIECE + BODY);
  });
  const { client, metrics } = openPieceClient(t);
  const sink = new KeepingSink();
  t.equal(await fetch(client, peer, sink), 1000, 'the blob’s size');
  t.equal(sink.bytes.toString(), BODY);
  t.strictSame(texts, [
    [
      `GET /v1/blobs/${blob.digest} HTTP/1.1`,
      `Host: ${address}`,
      'Range: bytes=0-99',
      'Authorization: Hawker good.peer-b.peer-a',
      '\r\n',
    ].join('\r\n'),
  ]);
  t.match(await metrics.registry.metrics(), 'hawker_peer_bytes_total{direction="in"} 100\n');
});

t.test('asks whether a peer has the whole of a blob, over the same connections', async (t) => {
  const { shelf, peer, slots } = await startPieceServer(t, {
    incoming: { openPart: async () => partOf(blob.bytes) },
  });
  const { client, metrics } = openPieceClient(t);
  const signal = new AbortController().signal;
  t.equal(await client.has(peer, blob.digest, signal), undefined, 'what is only coming in is no whole blob');
  shelf.blobs.set(blob.digest, blob.bytes);
  while (slots.take({ onePiece: true }));
  t.equal(await client.has(peer, blob.digest, signal), blob.bytes.length, 'a question takes no upload slot');
  t.equal(shelf.openCount, 0);
  t.match(await metrics.registry.metrics(), 'hawker_peer_bytes_total{direction="in"} 0\n');
  const stranger = { ...peer, peer: 'peer-z' };
  t.match(await failureOf(client.has(stranger, blob.digest, signal)), { code: 'PEER_REFUSED' });
  await t.rejects(client.has(peer, blob.digest, AbortSignal.abort(new Error('no'))), { message: 'no' });
});

t.test('a question that has an odd answer', async (t) => {
  const answers = ['206 OK', '500 Oops', '404 Not Found'];
  const { peer } = await scripted(t, (socket) => {
    socket.write(`HTTP/1.1 ${answers.shift()}\r\nContent-Length: 12\r\n\r\n`);
  });
  const { client } = openPieceClient(t);
  const { signal } = new AbortController();
  for (const status of [206, 500]) {
    const error = await failureOf(client.has(peer, blob.digest, signal));
    t.match(error, { code: 'PEER_BAD_RESPONSE', message: String(status) });
  }
  t.equal(await client.has(peer, blob.digest, signal), undefined);
});

t.test('the bytes may come in any portions', async (t) => {
  const { peer } = await scripted(t, async (socket) => {
    for (const byte of PIECE + BODY) {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const { client } = openPieceClient(t);
  const sink = new KeepingSink();
  await fetch(client, peer, sink);
  t.equal(sink.bytes.toString(), BODY);
});

t.test('busy and gone are no faults, and cost no connection', async (t) => {
  const { shelf, slots, port } = await startPieceServer(t);
  let connections = 0;
  const relay = createServer((socket) => {
    connections += 1;
    const onward = connect(port, '127.0.0.1');
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  t.teardown(() => relay.close());
  const { client } = openPieceClient(t);
  const peer = { ...SERVER, addresses: [`127.0.0.1:${(relay.address() as AddressInfo).port}`] };
  const gone = await failureOf(fetch(client, peer));
  t.equal(gone.code, 'PEER_GONE');
  t.equal(peerFailureOf(gone), 'gone');
  shelf.blobs.set(blob.digest, blob.bytes);
  const held = Array.from({ length: 8 }, () => slots.take({ onePiece: false })!);
  const busy = await failureOf(fetch(client, peer));
  t.equal(busy.code, 'PEER_BUSY');
  t.equal(peerFailureOf(busy), 'busy');
  for (const release of held) release();
  const sink = new KeepingSink();
  await fetch(client, peer, sink);
  t.ok(sink.bytes.equals(blob.bytes.subarray(0, 100)));
  t.equal(connections, 1);
});

t.test('a peer that refuses our token', async (t) => {
  const { peer } = await startPieceServer(t, { auth: { check: () => undefined } });
  const { client } = openPieceClient(t);
  const error = await failureOf(fetch(client, peer));
  t.equal(error.code, 'PEER_REFUSED');
  t.equal(peerFailureOf(error), 'reset');
  t.notMatch(error.message, 'good.', 'no token in an error');
});

t.test('what is not exactly the answer to the question is an error', async (t) => {
  let answer = '';
  const { peer } = await scripted(t, (socket) => socket.end(answer));
  const { client } = openPieceClient(t);
  const head = (status: number, ...fields: string[]) => `HTTP/1.1 ${status} X\r\n${fields.join('\r\n')}\r\n\r\n`;
  for (const bad of [
    'SSH-2.0-OpenSSH\r\n\r\n',
    head(206, 'Content-Length: 100'),
    head(206, 'Content-Length: 100', 'Content-Range: bytes 0-99/*'),
    head(206, 'Content-Length: 100', 'Content-Range: bytes 1-100/1000'),
    head(206, 'Content-Length: 100', 'Content-Range: bytes 1-99/1000'),
    head(206, 'Content-Length: 99', 'Content-Range: bytes 0-98/1000'),
    head(206, 'Content-Length: 100', 'Content-Range: bytes 0-98/1000'),
    head(206, 'Content-Length: 101', 'Content-Range: bytes 0-100/1000'),
    head(200, 'Content-Length: 1000'),
    head(302, 'Content-Length: 0', 'Location: http://127.0.0.1/'),
    head(401, 'Content-Length: 0'),
    head(404, 'Content-Length: 5') + 'nginx',
    head(416, 'Content-Length: 0', 'Content-Range: bytes */10'),
    head(503, 'Content-Length: 0'),
    head(500, 'Content-Length: 0'),
  ]) {
    answer = bad;
    const sink = new KeepingSink();
    const error = await failureOf(fetch(client, peer, sink));
    t.equal(error.code, 'PEER_BAD_RESPONSE', JSON.stringify(bad));
    t.equal(peerFailureOf(error), 'bad');
    t.strictSame([sink.heads, sink.length], [[], 0], 'the sink hears nothing of it');
  }
  answer = PIECE + BODY + 'y';
  const sink = new KeepingSink();
  t.equal((await failureOf(fetch(client, peer, sink))).code, 'PEER_BAD_RESPONSE', 'more than it said');
});

t.test('a peer that breaks off: what came is good, the error says so', async (t) => {
  for (const [how, end] of [
    ['FIN', (socket: Socket) => socket.end()],
    ['RST', (socket: Socket) => socket.resetAndDestroy()],
  ] as const) {
    let asked = 0;
    const sink = new KeepingSink();
    const { peer } = await scripted(t, (socket) => {
      asked += 1;
      socket.write(PIECE + BODY.slice(50));
      void until(() => sink.length > 0).then(() => end(socket));
    });
    const { client } = openPieceClient(t);
    const error = await failureOf(fetch(client, peer, sink));
    t.equal(error.code, 'PEER_CUT', how);
    t.equal(peerFailureOf(error), 'reset');
    t.equal(sink.length, 50);
    t.equal(asked, 1, 'it is not for the client to ask again');
  }
});

t.test('a second without a byte is a stall, wherever it happens', async (t) => {
  for (const before of ['', PIECE.slice(0, 20), PIECE, PIECE + BODY.slice(1)]) {
    const clock = new ManualClock();
    const { peer, sockets } = await scripted(t, (socket) => socket.write(before));
    const { client } = openPieceClient(t, { clock });
    const sink = new KeepingSink();
    const failure = failureOf(fetch(client, peer, sink));
    await until(() => sockets.length === 1 && sockets[0]!.bytesRead > 0 && clock.waiting === 1);
    if (before.length > PIECE.length) await until(() => sink.length > 0);
    await clock.advance(STALL_MS - 1);
    t.equal(sockets[0]!.destroyed, false);
    await until(() => (void clock.advance(STALL_MS / 2), sockets[0]!.destroyed));
    const error = await failure;
    t.equal(error.code, 'PEER_STALLED');
    t.equal(peerFailureOf(error), 'timeout');
    t.equal(clock.waiting, 0);
  }
});

t.test('a slow peer is no stalled one; nor is a sink that holds back', async (t) => {
  const clock = new ManualClock();
  const { peer, sockets } = await scripted(t, (socket) => socket.write(PIECE));
  const { client } = openPieceClient(t, { clock });
  const sink = new KeepingSink({ holdEvery: 30 });
  let go = () => {};
  sink.drain = () =>
    new Promise((resolve) => {
      go = resolve;
    });
  const done = fetch(client, peer, sink);
  for (let count = 1; count < 30; count += 1) {
    await until(() => sockets.length === 1 && sockets[0]!.bytesRead > 0);
    sockets[0]!.write('x');
    await until(() => sink.length === count);
    await clock.advance(STALL_MS * 0.9);
  }
  sockets[0]!.write('x');
  await until(() => sink.holds === 1);
  await clock.advance(10 * STALL_MS);
  sockets[0]!.write('x'.repeat(70));
  await clock.advance(10 * STALL_MS);
  t.equal(sink.length, 30, 'nothing is read meanwhile');
  go();
  await until(() => sink.length === 100);
  t.equal(await done, 1000);
});

t.test('what came while this process was busy is no stall', async (t) => {
  const clock = new ManualClock();
  const { peer, sockets } = await scripted(t, (socket) => socket.write(PIECE));
  const { client } = openPieceClient(t, { clock });
  const sink = new KeepingSink();
  const done = fetch(client, peer, sink);
  await until(() => sink.heads.length === 1);
  await new Promise((resolve) => setImmediate(resolve));
  // The byte is in the socket, and the timer is called before the event loop gets to it.
  sockets[0]!.write('x');
  await clock.advance(STALL_MS);
  await until(() => sink.length === 1);
  sockets[0]!.write('x'.repeat(99));
  t.equal(await done, 1000);
});

t.test('a pause of this process is no stall of the peer, which may have been held up too', async (t) => {
  const clock = new ManualClock();
  const { peer, sockets } = await scripted(t, (socket) => socket.write(PIECE));
  const { client } = openPieceClient(t, { clock });
  const sink = new KeepingSink();
  const failure = failureOf(fetch(client, peer, sink));
  await until(() => sink.heads.length === 1 && clock.waiting === 1);
  clock.stall(5 * STALL_MS);
  await clock.advance(STALL_MS - 1);
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(sockets[0]!.destroyed, false, 'it has its second again');
  await until(() => (void clock.advance(STALL_MS / 2), sockets[0]!.destroyed));
  t.equal((await failure).code, 'PEER_STALLED');
});

t.test('nobody there: at once, and with the system’s word', async (t) => {
  const { peer, server } = await scripted(t, () => undefined);
  server.close();
  await once(server, 'close');
  const { client } = openPieceClient(t);
  const error = await failureOf(fetch(client, peer));
  t.equal(error.code, 'PEER_UNREACHABLE');
  t.match(error.message, 'ECONNREFUSED');
  t.equal(peerFailureOf(error), 'reset');
  const none = await failureOf(fetch(client, { ...peer, addresses: [] }));
  t.match(none.message, 'no address');
  const odd = { ...peer, addresses: ['127.0.0.1', 'a b:1', '127.0.0.1:1\r\nX: y', 'http://h:1', 'u@h:1'] };
  t.match((await failureOf(fetch(client, odd))).message, 'no address', 'what is no host and port is not tried');
});

t.test('a connection that does not come about is given up, or aborted', async (t) => {
  const clock = new ManualClock();
  const { peer, sockets } = await scripted(t, () => undefined);
  const { client } = openPieceClient(t, { clock });
  // The time is over, or the reader gone, before the event loop can tell that it is connected.
  const late = failureOf(fetch(client, peer));
  await clock.advance(CONNECT_MS);
  const error = await late;
  t.equal(error.code, 'PEER_UNREACHABLE');
  t.match(error.message, 'no connection within');
  const abort = new AbortController();
  const reason = new Error('enough');
  const aborted = failureOf(fetch(client, peer, new KeepingSink(), abort.signal));
  abort.abort(reason);
  t.equal(await aborted, reason);
  t.equal(clock.waiting, 0);
  await until(() => sockets.every((socket) => socket.destroyed));
});

t.test('of several addresses the one that works is found, and remembered', async (t) => {
  const good = await startPieceServer(t);
  good.shelf.blobs.set(blob.digest, blob.bytes);
  // Another member of the cluster, at an address that both have (a bridge of their own): it refuses tokens for others.
  let refused = 0;
  const stranger = await startPieceServer(t, { auth: { check: () => void (refused += 1) } });
  let web = 0;
  const other = await scripted(t, (socket) => {
    web += 1;
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno!');
  });
  const nobody = await scripted(t, () => undefined);
  nobody.server.close();
  const addresses = [nobody.address, ...stranger.peer.addresses, other.address, ...good.peer.addresses];
  const { client } = openPieceClient(t);
  const peer = { ...SERVER, addresses };
  for (let i = 0; i < 3; i += 1) await fetch(client, peer);
  t.strictSame([refused, web], [1, 1], 'the others were tried once');
  await good.server.close();
  t.equal((await failureOf(fetch(client, peer))).code, 'PEER_UNREACHABLE');
  t.strictSame([refused, web], [2, 2], 'and again when it is gone');
});

t.test('connections are kept and used again, and die of idleness', async (t) => {
  const clock = new ManualClock();
  const { peer, sockets } = await scripted(t, (socket) => socket.write(PIECE + BODY));
  const { client } = openPieceClient(t, { clock });
  await fetch(client, peer);
  await fetch(client, peer);
  t.equal(sockets.length, 1);
  await Promise.all(Array.from({ length: MAX_IDLE_PER_ADDRESS + 2 }, () => fetch(client, peer)));
  t.equal(sockets.length, MAX_IDLE_PER_ADDRESS + 2);
  await until(() => sockets.filter((socket) => socket.destroyed).length === 2);
  t.equal(clock.waiting, MAX_IDLE_PER_ADDRESS, 'more than enough are not kept');
  await clock.advance(IDLE_MS - 1);
  await fetch(client, peer);
  await clock.advance(1);
  await until(() => sockets.filter((socket) => !socket.destroyed).length === 1);
  await clock.advance(IDLE_MS);
  await until(() => sockets.every((socket) => socket.destroyed));
});

t.test('I5: idle connections are bounded over all peers', async (t) => {
  const { client } = openPieceClient(t);
  const first: (Socket | undefined)[] = [];
  for (let i = 0; i < MAX_IDLE + 3; i += 1) {
    const { peer, sockets } = await scripted(t, (socket) => socket.write(PIECE + BODY));
    await fetch(client, { ...peer, peer: `p${i}` });
    first.push(sockets[0]);
  }
  await until(() => first.filter((socket) => socket!.destroyed).length === 3);
  t.ok(
    first.slice(0, 3).every((socket) => socket!.destroyed),
    'the longest idle go',
  );
});

t.test('a connection that is closed as it is used again: once more on a fresh one', async (t) => {
  let asked = 0;
  const { peer, sockets } = await scripted(t, (socket, { count, connection }) => {
    asked += 1;
    if (count === 2 && connection === 1) socket.resetAndDestroy();
    else socket.write(PIECE + BODY);
  });
  const { client } = openPieceClient(t);
  await fetch(client, peer);
  await fetch(client, peer);
  t.strictSame([asked, sockets.length], [3, 2]);

  const breaking = await scripted(t, (socket, { count }) => {
    if (count === 1 && breaking.sockets.length === 1) socket.write(PIECE + BODY);
    else socket.end();
  });
  await fetch(client, breaking.peer);
  t.equal((await failureOf(fetch(client, breaking.peer))).code, 'PEER_CUT', 'but only once');
  t.equal(breaking.sockets.length, 2);

  const halfway = await scripted(t, (socket, { count }) => {
    if (count === 1) socket.write(PIECE + BODY);
    else socket.end(PIECE.slice(0, 10));
  });
  await fetch(client, halfway.peer);
  t.equal((await failureOf(fetch(client, halfway.peer))).code, 'PEER_CUT', 'and not when an answer had begun');
  t.equal(halfway.sockets.length, 1);
});

t.test('an idle connection that the peer closes, or on which it speaks unasked, is used no more', async (t) => {
  const { peer, sockets } = await scripted(t, (socket) => socket.write(PIECE + BODY));
  const clock = new ManualClock();
  const { client } = openPieceClient(t, { clock });
  await fetch(client, peer);
  sockets[0]!.end();
  await until(() => clock.waiting === 0);
  await fetch(client, peer);
  sockets[1]!.write('hello');
  await until(() => clock.waiting === 0);
  await fetch(client, peer);
  t.equal(sockets.length, 3);
});

t.test('“Connection: close” is honoured', async (t) => {
  const { peer, sockets } = await scripted(t, (socket) =>
    socket.write(PIECE.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n') + BODY),
  );
  const { client } = openPieceClient(t);
  await fetch(client, peer);
  await fetch(client, peer);
  t.equal(sockets.length, 2);
});

t.test('the download limit is shared, small reads included, and waiting for it is no stall', async (t) => {
  const { shelf, peer } = await startPieceServer(t);
  shelf.blobs.set(blob.digest, blob.bytes);
  const clock = new ManualClock();
  const { client } = openPieceClient(t, { clock, bytesPerSecond: 20_000 });
  const sinks = [new KeepingSink(), new KeepingSink()];
  const range = { start: 0, end: 200_000 };
  const reads = sinks.map((sink) => client.fetch(peer, blob.digest, range, sink, new AbortController().signal));
  let over = false;
  void Promise.all(reads).then(() => (over = true));
  await until(() => sinks.every((sink) => sink.length > 0));
  await clock.advance(5000);
  t.ok(sinks[0]!.length + sinks[1]!.length < 400_000, 'no more is read than was paid for, but for two buffers');
  await until(() => (void clock.advance(1000), over));
  t.ok(clock.monotonic() >= 19_000, '400 kB at 20 kB/s');
  for (const sink of sinks) t.ok(sink.bytes.equals(blob.bytes.subarray(0, 200_000)));
  const before = clock.monotonic();
  let small = false;
  void client
    .fetch(peer, blob.digest, { start: 0, end: 20_000 }, new KeepingSink(), new AbortController().signal)
    .then(() => (small = true));
  await until(() => (void clock.advance(50), small));
  t.ok(clock.monotonic() - before >= 900);
});

t.test('an abort while it waits for the limit', async (t) => {
  const { shelf, peer } = await startPieceServer(t);
  shelf.blobs.set(blob.digest, blob.bytes);
  const clock = new ManualClock();
  const { client } = openPieceClient(t, { clock, bytesPerSecond: 1000 });
  const abort = new AbortController();
  const reason = new Error('enough');
  const sink = new KeepingSink();
  const failure = failureOf(client.fetch(peer, blob.digest, { start: 0 }, sink, abort.signal));
  await until(() => sink.length > 0);
  abort.abort(reason);
  t.equal(await failure, reason);
  await until(() => clock.waiting === 0);
});

t.test('I5: reads at the same time are bounded; closing ends them', async (t) => {
  const { peer } = await scripted(t, () => undefined);
  const { client } = openPieceClient(t, { clock: new ManualClock() });
  const reads = Array.from({ length: MAX_CONNECTIONS_IN_USE }, () => failureOf(fetch(client, peer)));
  const over = await failureOf(fetch(client, peer));
  t.equal(over.code, 'PEER_CONNECTIONS_EXHAUSTED');
  t.equal(peerFailureOf(over), undefined, 'not the peer’s');
  await new Promise((resolve) => setTimeout(resolve, 0));
  let ended = 0;
  for (const read of reads) void read.then(() => (ended += 1));
  await until(() => (client.close(), ended === reads.length));
  t.ok((await Promise.all(reads)).every((error) => error.code?.startsWith('PEER_')));
});

t.test('errors that are not the peer’s', (t) => {
  t.equal(peerFailureOf(new Error('x')), undefined);
  t.equal(peerFailureOf(undefined), undefined);
  t.end();
});
