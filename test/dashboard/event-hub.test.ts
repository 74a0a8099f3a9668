import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createLogger } from '../../src/base/log.ts';
import { BEAT_MS, EventHub, MAX_BACKLOG_BYTES, MAX_LISTENERS, TICK_MS } from '../../src/dashboard/event-hub.ts';
import type { Snapshot } from '../../src/dashboard/page/model.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { until } from '../support/swarm-rig.ts';

async function rig(t: Test) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const what = { asked: 0, version: '1', fault: false };
  const hub = new EventHub({
    clock,
    log,
    snapshot: () => {
      what.asked += 1;
      if (what.fault) throw new Error('broken');
      return { version: what.version, peers: [], blobs: [] } as unknown as Snapshot;
    },
  });
  const server = createServer((_request, response) => hub.add(response, { 'X-Test': 'yes' }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    hub.close();
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const listen = () => {
    const socket = connect(port, '127.0.0.1');
    t.teardown(() => socket.destroy());
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    return socket;
  };
  return { clock, hub, what, lines, listen };
}

function textOf(socket: Socket): () => string {
  let text = '';
  socket.on('data', (data) => {
    text += data.toString();
  });
  return () => text;
}

t.test('a snapshot, then what changes, and a beat where nothing does', async (t) => {
  const { clock, hub, what, listen } = await rig(t);
  const first = listen();
  const said = textOf(first);
  await until('the snapshot is here', () => said().includes('event: snapshot'));
  t.match(said(), /^HTTP\/1.1 200 OK\r\nX-Test: yes\r\nContent-Type: text\/event-stream\r\n/);
  t.match(said(), 'data: {"version":"1","peers":[],"blobs":[]}\n\n');
  await clock.advance(TICK_MS);
  t.notMatch(said(), 'event: change');
  what.version = '2';
  await clock.advance(TICK_MS);
  await until('the change is here', () => said().includes('event: change\ndata: {"version":"2"}\n\n'));

  const later = textOf(listen());
  await until('who comes later gets all of it', () => later().includes('data: {"version":"2","peers":[],"blobs":[]}'));
  const { asked } = what;
  await clock.advance(TICK_MS);
  t.equal(what.asked, asked + 1, 'asked once for both');
  await clock.advance(BEAT_MS);
  const beat = 'event: beat\ndata: {}\n\n';
  await until('a beat came to both', () => said().includes(beat) && later().includes(beat));
  t.equal(hub.listeners, 2);
});

t.test('while nobody listens nothing is asked, and who comes then gets what is so then', async (t) => {
  const { clock, hub, what, listen } = await rig(t);
  const socket = listen();
  const said = textOf(socket);
  await until('the snapshot is here', () => said().includes('event: snapshot'));
  socket.destroy();
  await until('it is gone', () => hub.listeners === 0);
  const { asked } = what;
  await clock.advance(10 * TICK_MS);
  t.equal(what.asked, asked);
  t.equal(clock.waiting, 0);
  what.version = '3';
  const next = textOf(listen());
  await until('the new one is here', () => next().includes('event: snapshot\ndata: {"version":"3"'));
});

t.test('who does not read is dropped, the others are not', async (t) => {
  const { clock, hub, what, listen } = await rig(t);
  const slow = listen();
  slow.pause();
  const said = textOf(listen());
  await until('both are there', () => hub.listeners === 2 && said().includes('event: snapshot'));
  let told = 0;
  const dropped = () => hub.listeners === 1;
  // A socket's buffers hold some of it, in the kernel of both sides.
  for (; !dropped() && told < 40; told += 1) {
    what.version = String(told).repeat(MAX_BACKLOG_BYTES / 4);
    await clock.advance(TICK_MS);
    const size = what.version.length;
    await until('the other has it', () => said().length > size * told);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(dropped(), `after ${told} MiB or so`);
  what.version = 'last';
  await clock.advance(TICK_MS);
  await until('the other goes on', () => said().endsWith('data: {"version":"last"}\n\n') || said().includes('"last"'));
});

t.test('what cannot be put together is said, and ends no process', async (t) => {
  const { clock, hub, what, lines, listen } = await rig(t);
  const socket = listen();
  await until('it listens', () => hub.listeners === 1);
  what.fault = true;
  const closed = once(socket, 'close');
  await clock.advance(TICK_MS);
  socket.resume();
  await closed;
  t.match(lines.join(''), '"code":"DASHBOARD_FAULT"');
  t.match(lines.join(''), 'broken');
  what.fault = false;
  const said = textOf(listen());
  await until('the next is answered', () => said().includes('event: snapshot'));
});

t.test('there is room for so many, and for none once it is closed', async (t) => {
  const { hub, listen } = await rig(t);
  const sockets = Array.from({ length: MAX_LISTENERS }, listen);
  await until('all listen', () => hub.listeners === MAX_LISTENERS);
  t.notOk(hub.hasRoom);
  sockets[0]!.destroy();
  await until('one is gone', () => hub.hasRoom);
  hub.close();
  t.notOk(hub.hasRoom);
  t.equal(hub.listeners, 0);
});
