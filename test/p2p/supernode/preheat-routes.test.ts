import fastify from 'fastify';
import t, { type Test } from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { ApiAccess } from '../../../src/http/api-access.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { supernodeApi } from '../../../src/p2p/supernode/api.ts';
import { LEFT_GRACE_MS } from '../../../src/p2p/supernode/preheats.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { Client } from '../../support/session-client.ts';
import { askFrom, makeSupernode, SECRET, serve, until, type Phonebook } from '../../support/swarm-rig.ts';

const digest = digestOf('an image');
const COUNTS = { blobs: 3, blobsHere: 3, bytes: 30, bytesHere: 30 };

const PATHS = { GET: '/api/v1/preheats', POST: '/api/v1/preheat', DELETE: '/api/v1/preheat/order-01' } as const;

async function rig(t: Test) {
  const clock = new ManualClock();
  const book: Phonebook = new Map();
  const supernode = makeSupernode(clock, { ask: askFrom(book, new Membership(SECRET)) });
  const { url } = await serve(t, supernode);
  const join = async (peer: string, instance = `${peer}-first`) => {
    const address = `10.0.0.9:${65_000 + book.size}`;
    book.set(address, { peer, instance });
    const client = new Client(t, url);
    await client.open({ peer, instance, addresses: [address], host: peer });
    await until('it is ready', () =>
      supernode
        .peers()
        .peers.some(({ id, state, instance: of }) => id === peer && state === 'ready' && of === instance),
    );
    return client;
  };
  const order = async (body: object) => {
    const answer = await fetch(`${url}/api/v1/preheat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return ((await answer.json()) as { id: string }).id;
  };
  return { clock, supernode, url, join, order };
}

t.test('over the wire: an order, a peer that leaves, one that is started anew, and the end', async (t) => {
  const { clock, supernode, join, order } = await rig(t);
  const peers = new Map([
    ['peer-aaaa', await join('peer-aaaa')],
    ['peer-bbbb', await join('peer-bbbb')],
    ['peer-cccc', await join('peer-cccc')],
  ]);
  const id = await order({ image: 'x/y:1', timeout: '2h', platforms: ['linux/arm64'] });
  const stateOf = (peer: string) => supernode.preheatOf(id).peers.find((one) => one.id === peer)!;
  const asked = () => [...peers].filter(([, { got }]) => got.some((one) => one.t === 'preheat')).map(([peer]) => peer);
  await until('one is asked', () => asked().length === 1);
  const leader = asked()[0]!;
  const [away, again] = [...peers.keys()].filter((peer) => peer !== leader) as [string, string];
  const say = (client: Client, more: object) =>
    client.say({ t: 'preheating', id, state: 'running', ...COUNTS, ...more });
  const first = await peers.get(leader)!.next('preheat');
  t.match(first, { id, image: 'x/y:1', platforms: ['linux/arm64'], timeoutMs: 7_200_000 });
  t.notOk('digest' in first);
  say(peers.get(leader)!, { digest });
  for (const peer of [away, again]) t.equal((await peers.get(peer)!.next('preheat')).digest, digest);
  say(peers.get(leader)!, { digest, state: 'done' });
  await until('the first is done', () => stateOf(leader).state === 'done');
  say(peers.get(leader)!, { digest, state: 'failed' });

  peers.get(away)!.ws.terminate();
  await until('it is away', () => stateOf(away).state === 'left');
  t.match(stateOf(away).reason, /^left: its connection was closed/);
  peers.get(again)!.say({ t: 'bye' });
  peers.get(again)!.ws.close();
  await until('the other is away', () => stateOf(again).state === 'left');
  const back = await join(again, `${again}-second`);
  t.equal((await back.next('preheat')).digest, digest, 'it is ordered again');
  t.match(stateOf(again), { state: 'running', restarts: 1 });
  say(back, { digest, state: 'failed', failure: { code: 'PREHEAT_DISK_FULL', message: 'full', todo: 'free some' } });
  await until('it has failed', () => stateOf(again).state === 'failed');
  await clock.advance(LEFT_GRACE_MS + 1000);
  t.match(supernode.preheatOf(id), { state: 'failed', counts: { done: 1, failed: 2 }, finishedAt: String });
  t.equal(stateOf(away).failure?.code, 'PREHEAT_PEER_LEFT');
  t.equal(stateOf(again).failure?.code, 'PREHEAT_DISK_FULL');
  t.equal(stateOf(leader).state, 'done', 'what is over stays');
});

t.test('an order is cancelled: its peers are told, also one that was away', async (t) => {
  const { url, supernode, join, order } = await rig(t);
  const one = await join('peer-aaaa');
  const two = await join('peer-bbbb');
  const id = await order({ image: 'x/y:1' });
  const cancel = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${url}${path}`, { method: 'DELETE', headers });
  const say = (client: Client) => client.say({ t: 'preheating', id, state: 'running', ...COUNTS, digest });
  const leader = [one, two].find(({ got }) => got.some(({ t }) => t === 'preheat')) ?? one;
  await leader.next('preheat');
  say(leader);
  const other = leader === one ? two : one;
  await other.next('preheat');
  other.ws.terminate();
  await until('it is away', () => supernode.preheatOf(id).counts.left === 1);
  const foreign = await cancel(`/api/v1/preheat/${id}`, { origin: 'http://evil.test' });
  t.match([foreign.status, await foreign.json()], [403, { code: 'BROWSER_REFUSED' }]);
  const first = await cancel(`/api/v1/preheat/${id}`);
  t.equal(first.status, 200);
  t.match(await first.json(), { id, state: 'cancelled', counts: { cancelled: 2, running: 0 }, finishedAt: String });
  t.equal((await leader.next('cancel')).id, id);
  const again = await cancel(`/api/v1/preheats/${id}`);
  t.match([again.status, await again.json()], [200, { state: 'cancelled' }], 'by its own address, and again');
  const back = await join(other === one ? 'peer-aaaa' : 'peer-bbbb');
  say(back);
  t.equal((await back.next('cancel')).id, id);
  const none = await cancel('/api/v1/preheat/none');
  t.match([none.status, await none.json()], [404, { code: 'PREHEAT_UNKNOWN' }]);
});

t.test('beyond loopback members ask, and only operators order', async (t) => {
  const clock = new ManualClock();
  const supernode = makeSupernode(clock);
  const app = fastify();
  const access = new ApiAccess({ operator: ['operator'.repeat(5)], reader: ['reader'.repeat(6)] });
  await app.register(supernodeApi, { supernode, metrics: new Metrics(), access, clock, log: silentLogger });
  t.teardown(() => app.close());
  const ask = async (method: keyof typeof PATHS, token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const url = PATHS[method];
    return (await app.inject({ method, url, headers, ...(method === 'POST' && { payload: { image: 'x/y' } }) }))
      .statusCode;
  };
  const all = async (token?: string) => [await ask('GET', token), await ask('POST', token), await ask('DELETE', token)];
  t.same(await all(), [401, 401, 401]);
  t.same(await all('reader'.repeat(6)), [200, 401, 401]);
  t.same(await all('operator'.repeat(5)), [200, 409, 404]);
});
