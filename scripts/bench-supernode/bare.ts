/*
 * What a WebSocket server costs that decides nothing: it parses each message and answers every report with the next piece's
 * assignment. What the supernode's own figures are to be seen against, on a machine that may be slow or busy.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { FromProxy, FromSupernode } from '../../src/p2p/protocol/messages.ts';

const IN_FLIGHT = 4;
const PROOF = 'p'.repeat(43);

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
sockets.on('connection', (socket) => {
  let wish = 0;
  let piece = 0;
  let pieces = 0;
  const say = (message: FromSupernode) => socket.send(JSON.stringify(message));
  const assign = (count: number) => {
    const f: [number, number, number, number][] = [];
    for (; f.length < count && piece < pieces; piece += 1) f.push([wish, piece, 1, piece]);
    if (f.length > 0) say({ t: 'a', f });
  };
  socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString()) as FromProxy;
    if (message.t === 'hello') {
      say({ t: 'welcome', epoch: 'bare', heartbeatMs: 5000, proof: PROOF, time: 0, peers: [] });
    } else if (message.t === 'want') {
      wish = message.w;
      piece = 0;
      pieces = message.size! / (4 * 1024 * 1024);
      assign(IN_FLIGHT);
    } else if (message.t === 'r') assign(message.p?.length ?? 0);
  });
  const nonce = 'n'.repeat(22);
  say({ t: 'challenge', nonce, epoch: 'bare', protocol: '1.0', version: '1.0.0', membership: true, time: 0 });
});
server.listen(0, '127.0.0.1', () => process.send!({ port: (server.address() as AddressInfo).port }));
process.on('message', () => process.exit(0));
