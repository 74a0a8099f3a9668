/**
 * What users of the ancestor reported as "peers: 0", one test a report and named after it. Each shows, with the real parts, that
 * it cannot happen here, or that it is explained where an operator looks.
 */
import t from 'tap';
import { PeersAnswer } from '../../src/app/answers.ts';
import { askSupernode } from '../../src/cli/api-client.ts';
import { peersText } from '../../src/cli/peers.ts';
import { systemClock } from '../../src/base/clock.ts';
import { networkCandidates } from '../../src/p2p/peer/supernode-dial.ts';
import { Membership } from '../../src/p2p/protocol/membership.ts';
import { eventually, json } from '../support/cluster.ts';
import { makeSession, Notes } from '../support/swarm-rig.ts';
import { Rig, supernodeIs, supernodesOf, watchedLog } from './rig.ts';

const PLAIN = { colour: false };

t.test('dragonfly#3410, #3564, #3634: the console shows peers: 0 after the installation', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode();
  const text = async () => peersText(supernode.url, await json<PeersAnswer>(`${supernode.url}/api/v1/peers`), PLAIN);
  t.match(await text(), /^No peers at .*: nobody has registered since it started\. Point a proxy to it/);
  const nodes = [await rig.proxy([supernode.url]), await rig.proxy([supernode.url])];
  await supernode.states('ready', 'ready');
  t.match(await text(), /^2 peers at .*: 2 ready\./, 'the count is of sessions, and no job has to run for it');
  const metrics = async () => (await fetch(`${supernode.url}/metrics`)).text();
  t.match(await metrics(), 'hawker_peers{state="ready"} 2\n');
  await Promise.all(nodes.map(({ service }) => service.stop()));
  await supernode.states('left', 'left');
  t.match(await metrics(), 'hawker_peers{state="ready"} 0\n');
  t.match(await text(), /^No peers at .*: 2 have left; the reasons are below\.\n[^]*it stopped/);
});

t.test('dragonfly#4865: the page of peers is empty though pieces go from peer to peer', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode();
  const nodes = [await rig.proxy([supernode.url]), await rig.proxy([supernode.url])];
  await supernode.states('ready', 'ready');
  for (const node of nodes) await rig.pull(node);
  await supernode.held(rig.image, 2);
  // Checked against the schema, as the command does: a number that is none, or a field that is missing, is an error and no empty page.
  const { answer } = await askSupernode(
    { supernodes: [supernode.url], cluster: { secretFile: undefined, operatorTokenFile: undefined } },
    '/api/v1/peers',
    PeersAnswer,
  );
  t.match(answer.peers, [
    { state: 'ready', blobs: 4, clockSkewMs: Number },
    { state: 'ready', blobs: 4, clockSkewMs: Number },
  ]);
});

t.test('dragonfly#3158, #961, #3348, #3673: zero active schedulers, and nodes cannot pull', async (t) => {
  const rig = await Rig.start(t);
  const gone = await rig.supernode();
  await gone.service.stop();
  const node = await rig.proxy([gone.url]);
  t.equal(await rig.pull(node), rig.image.size, 'it starts, and serves, with no supernode');
  const said = await supernodeIs(node, 'failed', 'SUPERNODE_UNREACHABLE');
  t.match(said.message, /^no connection to 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  t.equal((await fetch(`${node.mirror}/v2/`)).status, 200);
  const lines = node.lines.filter(({ code }) => code === 'SUPERNODE_UNREACHABLE');
  t.match(lines, [{ level: 'warn', todo: /supernode runs and listens there/ }], 'said once, with what to do');
  const back = await rig.supernode({ port: gone.port });
  await back.states('ready');
  t.match(await supernodesOf(node), [{ state: 'connected', code: '' }], 'and it registers by itself');
  t.equal(node.lines.filter(({ code }) => code === 'SUPERNODE_UNREACHABLE').length, 1);
});

t.test('dragonfly#3297, #4040: the scheduler has another address now, and the old one stays active', async (t) => {
  const rig = await Rig.start(t);
  const before = await rig.supernode({ host: '127.0.0.1' });
  let address = '127.0.0.1';
  const { log, lines } = watchedLog();
  const session = makeSession({
    clock: systemClock,
    urls: [`http://localhost:${before.port}`],
    candidates: networkCandidates(systemClock, async () => [address]),
    membership: new Membership(undefined),
    log,
  });
  session.start(new Notes());
  t.teardown(() => session.close());
  await before.states('unreachable');
  const after = await rig.supernode({ host: '127.0.0.2', port: before.port });
  address = '127.0.0.2';
  await before.service.stop();
  await after.states('unreachable');
  t.match(session.status(), [{ state: 'connected', code: '' }], 'the name is resolved anew at each try');
  const connected = lines.filter(({ code }) => code === 'SUPERNODE_CONNECTED') as unknown as { address: string }[];
  t.same(
    connected.map(({ address }) => address),
    [`127.0.0.1:${before.port}`, `127.0.0.2:${before.port}`],
  );
});

t.test(
  'dragonfly#3297, #4040: a node that comes back under another address is two peers, one of them dead',
  async (t) => {
    const rig = await Rig.start(t);
    const supernode = await rig.supernode();
    const node = await rig.proxy([supernode.url], { store: 'node' });
    const first = await supernode.peer(node, 'ready');
    await node.service.stop();
    await supernode.states('left');
    const again = await rig.proxy([supernode.url], { store: 'node' });
    t.not(again.pieces, node.pieces);
    const second = await supernode.peer(again, 'ready');
    t.equal(second.id, first.id, 'its id is kept in its store');
    t.not(second.instance, first.instance);
    t.equal((await supernode.peers()).peers.length, 1);
  },
);

t.test('client#1116, helm-charts#350: the client goes on announcing to a scheduler that is gone', async (t) => {
  const rig = await Rig.start(t);
  const [first, second] = [await rig.supernode(), await rig.supernode()];
  const node = await rig.proxy([first.url, second.url]);
  await first.states('ready');
  t.match(await supernodesOf(node), [{ state: 'connected' }, { state: 'standby' }]);
  await first.service.stop();
  await second.states('ready');
  t.match(await supernodesOf(node), [{ state: 'failed', code: /^SUPERNODE_|^SHUTTING_DOWN$/ }, { state: 'connected' }]);
});

t.test('helm-charts#350: a service mesh answers 503 in the place of the scheduler', async (t) => {
  const rig = await Rig.start(t);
  // What is no supernode answers on any path.
  const node = await rig.proxy([rig.origin.url]);
  const said = await supernodeIs(node, 'failed', 'SUPERNODE_NOT_HAWKER');
  t.match(said.message, /is not a Hawker supernode: it answers with HTTP status 404/);
  t.match(node.lines.find(({ code }) => code === 'SUPERNODE_NOT_HAWKER')?.todo, /proxy or load balancer/);
  t.equal(await rig.pull(node), rig.image.size);
});

t.test('dragonfly-archived#72, #177, #1018: registration times out when 30 clients come at once', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode();
  const nodes = await Promise.all(Array.from({ length: 30 }, () => rig.proxy([supernode.url])));
  await supernode.states(...nodes.map(() => 'ready'));
  const pulled = nodes.slice(0, 10);
  await Promise.all(pulled.map((node) => rig.pull(node)));
  await supernode.held(rig.image, pulled.length);
  t.equal((await supernode.peers()).rejected.length, 0);
  t.same(
    nodes.flatMap(({ lines }) => lines.filter(({ level }) => level === 'warn' || level === 'error')),
    [],
    'none had to try twice',
  );
  t.ok(rig.origin.bytesOut < 2 * rig.image.size, `${rig.origin.bytesOut} bytes left the registry for ten pulls`);
});

t.test(
  'dragonfly-archived#1356, #1521: no peer-to-peer to be seen, for the server has gone after five idle minutes',
  async (t) => {
    const rig = await Rig.start(t);
    const supernode = await rig.supernode();
    const [one, two] = [await rig.proxy([supernode.url]), await rig.proxy([supernode.url])];
    await supernode.states('ready', 'ready');
    await rig.pull(one);
    await supernode.held(rig.image, 1);
    // Of a part that ends when it is idle there is none: what listens does so until the proxy stops. And it can be tried.
    const dialBack = await fetch(`${one.api}/api/v1/dial-back`, { method: 'POST' });
    t.same(await dialBack.json(), { supernode: supernode.url, address: one.pieces, error: null });
    const [config, , layer] = rig.image.blobs;
    const response = await fetch(`${two.mirror}/v2/demo/app/blobs/${layer!.digest}`);
    await response.arrayBuffer();
    t.equal(response.headers.get('x-hawker-source'), 'peers', 'where bytes come from is in each answer');
    const metrics = await (await fetch(`${two.api}/metrics`)).text();
    t.match(metrics, `hawker_client_bytes_total{source="peers"} ${layer!.bytes.length}\n`, 'and counted');
    await supernode.service.stop();
    await supernodeIs(two, 'failed', 'SHUTTING_DOWN');
    const small = await fetch(`${two.mirror}/v2/demo/app/blobs/${config!.digest}`);
    await small.arrayBuffer();
    t.match(small.headers.get('x-hawker-source'), /peers|origin/);
    await eventually('it is said why there are no peers', async () =>
      (await supernodesOf(two)).some(({ code }) => code.startsWith('SUPERNODE_')),
    );
  },
);
