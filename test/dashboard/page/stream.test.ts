import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { EventSource } from 'undici';
import type { Snapshot } from '../../../src/dashboard/page/model.ts';
import { listen } from '../../../src/dashboard/page/stream.ts';
import { until } from '../../support/swarm-rig.ts';

const HEAD = { 'Content-Type': 'text/event-stream' };

/** A page's ear at a real server, which answers as `answer` says. */
async function rig(
  t: Test,
  answer: (response: ServerResponse, number: number) => void,
  times: { askAgainMs?: number; silenceMs?: number } = {},
) {
  const seen = { asked: 0, heard: 0, lost: 0, snapshots: [] as Snapshot[] };
  const server = createServer((_request, response) => answer(response, (seen.asked += 1)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stop = listen({
    open: () => new EventSource(`http://127.0.0.1:${port}/`),
    onSnapshot: (snapshot) => seen.snapshots.push(snapshot),
    onHeard: () => (seen.heard += 1),
    onLost: () => (seen.lost += 1),
    ...times,
  });
  t.teardown(() => {
    stop();
    server.closeAllConnections();
    server.close();
  });
  return seen;
}

const event = (name: string, what: unknown) => `event: ${name}\ndata: ${JSON.stringify(what)}\n\n`;
const begin = (version: string) => `retry: 10\n\n${event('snapshot', { version, peers: [{ id: 'a' }], blobs: [] })}`;

t.test('a snapshot, then what has changed of it; a beat is heard', async (t) => {
  const seen = await rig(t, (response) => {
    response.writeHead(200, HEAD).write(begin('1') + event('change', { peers: { set: [{ id: 'b' }], gone: ['a'] } }));
    response.write(event('beat', {}));
  });
  await until('all of it is heard', () => seen.heard === 3);
  t.same(seen.snapshots.at(-1), { version: '1', peers: [{ id: 'b' }], blobs: [] });
  t.equal(seen.snapshots.length, 2);
  t.equal(seen.lost, 0);
});

t.test('a stream that ends is asked for again, and begins with all of it', async (t) => {
  const seen = await rig(t, (response, number) => {
    response.writeHead(200, HEAD).write(begin(String(number)));
    if (number === 1) response.end();
  });
  await until('it is back', () => seen.snapshots.at(-1)?.version === '2');
  t.ok(seen.lost > 0);
});

t.test('an answer that is no stream ends the browser’s own trying, and not ours', async (t) => {
  const seen = await rig(
    t,
    (response, number) => {
      if (number < 3) response.writeHead(503).end();
      else response.writeHead(200, HEAD).write(begin('late'));
    },
    { askAgainMs: 5 },
  );
  await until('it is there', () => seen.snapshots.at(-1)?.version === 'late');
  t.equal(seen.lost, 2);
});

t.test('a connection on which nothing comes any more is given up', async (t) => {
  const seen = await rig(
    t,
    (response, number) => {
      response.writeHead(200, HEAD).write(begin(String(number)));
    },
    { silenceMs: 50 },
  );
  await until('it has asked again', () => seen.asked > 1);
  t.ok(seen.lost > 0);
});
