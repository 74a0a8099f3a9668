import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { StrangerLimit } from '../../src/http/stranger-limit.ts';
import { ManualClock } from '../support/manual-clock.ts';

async function start(t: Test, countsLoopback = true) {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const clock = new ManualClock();
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    if (request.url === '/member') limit.known(request.socket);
    response.end();
  });
  const limit = new StrangerLimit(server, { perAddress: 3, overall: 5 }, { clock, log, countsLoopback });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  /** A connection, and whether the server still has it after a request. */
  const open = async (localAddress: string, path = '/'): Promise<Socket | undefined> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const answered = await new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true)).once('close', () => resolve(false));
    });
    return answered ? socket : undefined;
  };
  return { lines, clock, open };
}

t.test('of one address, and of all, only so many stay; who belongs here counts no more', async (t) => {
  const { lines, clock, open } = await start(t);
  const first = [await open('127.0.0.1'), await open('127.0.0.1'), await open('127.0.0.1', '/member')];
  t.ok(first.every(Boolean));
  t.ok(await open('127.0.0.1'), 'one of the three is a member');
  t.equal(await open('127.0.0.1'), undefined);
  t.match(lines, [/"code":"TOO_MANY_CONNECTIONS","address":"127\.0\.0\.1","connections":3/]);
  t.ok((await open('127.0.0.2')) && (await open('127.0.0.3')), 'others are not kept out,');
  t.equal(await open('127.0.0.4'), undefined, 'up to so many');
  t.equal(lines.length, 1, 'said once a minute');
  await clock.advance(60_000);
  first[0]!.destroy();
  await once(first[0]!, 'close');
  let again: Socket | undefined;
  for (let left = 100; left > 0 && !again; left -= 1) again = await open('127.0.0.1');
  t.ok(again, 'one that ends makes room');
  t.equal(await open('127.0.0.5'), undefined);
  t.equal(lines.length, 2);
});

t.test('this machine’s own are not counted', async (t) => {
  const { open } = await start(t, false);
  for (let n = 0; n < 8; n += 1) t.ok(await open('127.0.0.1'));
});
