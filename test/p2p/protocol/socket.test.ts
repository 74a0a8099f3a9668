import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { CLOSE, socketPair, type SessionSocket, type SocketListener } from '../../../src/p2p/protocol/socket.ts';
import { WebSocketEnd } from '../../../src/p2p/protocol/web-socket.ts';
import { until } from '../../support/swarm-rig.ts';

class Heard implements SocketListener {
  readonly texts: string[] = [];
  end: [number, string, string | undefined] | undefined;
  ends = 0;

  message(text: string): void {
    this.texts.push(text);
  }
  closed(code: number, reason: string, fault?: string): void {
    this.end = [code, reason, fault];
    this.ends += 1;
  }
}

async function overNetwork(t: Test): Promise<[SessionSocket, SessionSocket, WebSocket]> {
  const server = createServer();
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 100 });
  const far = new Promise<SessionSocket>((resolve) => {
    server.on('upgrade', (request, socket, head) => {
      sockets.handleUpgrade(request, socket, head, (ws) => resolve(new WebSocketEnd(ws)));
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const ws = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const near = new WebSocketEnd(ws);
  t.teardown(() => {
    ws.terminate();
    server.close();
  });
  const end = await far;
  await until('it is open', () => ws.readyState === ws.OPEN);
  return [near, end, ws];
}

for (const [name, make] of [
  ['in process', async () => socketPair()],
  ['over a WebSocket', overNetwork],
] as const) {
  t.test(`${name}: messages in order, none lost before there is a listener, never from within a call`, async (t) => {
    const [near, far] = await make(t);
    const [a, b] = [new Heard(), new Heard()];
    for (const text of ['1', '2']) far.send(text);
    await new Promise((resolve) => setTimeout(resolve, 10));
    near.listen(a);
    t.same(a.texts, []);
    far.send('3');
    far.listen(b);
    await until('they have come', () => a.texts.length === 3);
    t.same(a.texts, ['1', '2', '3']);
    near.send('back');
    await until('it has come', () => b.texts.length === 1);
    t.equal(near.backlog, 0);
  });

  t.test(`${name}: a close is told to both ends, once, with its reason`, async (t) => {
    const [near, far] = await make(t);
    const [a, b] = [new Heard(), new Heard()];
    near.listen(a);
    far.listen(b);
    far.send('last');
    far.close(CLOSE.again, 'REPLACED');
    far.close(CLOSE.normal, '');
    far.send('never');
    await until('both know', () => a.ends > 0 && b.ends > 0);
    t.same(a.texts, ['last']);
    t.match(a.end, [4000, 'REPLACED', undefined]);
    near.terminate();
    await new Promise((resolve) => setTimeout(resolve, 10));
    t.same([a.ends, b.ends], [1, 1]);
  });

  t.test(`${name}: an end at once, also before anybody listens`, async (t) => {
    const [near, far] = await make(t);
    near.terminate();
    await new Promise((resolve) => setTimeout(resolve, 10));
    const b = new Heard();
    far.listen(b);
    await until('it is told', () => b.ends === 1);
    t.equal(b.end![0], CLOSE.abnormal);
  });
}

t.test('over a WebSocket: too large a message and a binary one', async (t) => {
  const [near, far, ws] = await overNetwork(t);
  const b = new Heard();
  far.listen(b);
  ws.send(Buffer.from('{"t":"bye"}'));
  await until('it has come', () => b.texts.length === 1);
  t.same(b.texts, [''], 'a binary message has no meaning');
  near.send('x'.repeat(101));
  await until('it is closed', () => b.ends === 1);
  t.match(b.end, [Number, String, /payload/i], 'with what was wrong');
});

t.test('over a WebSocket: an end that does not answer a close is not waited for', async (t) => {
  const [, far, ws] = await overNetwork(t);
  const b = new Heard();
  far.listen(b);
  ws.pause();
  far.close(CLOSE.policy, 'é'.repeat(200));
  await until('it is closed all the same', () => b.ends === 1);
  t.pass();
});
