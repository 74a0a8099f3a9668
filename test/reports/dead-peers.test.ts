/** What users of the ancestor reported of peers that are dead, unknown or out of reach, one test a report and named after it. */
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { freePort } from '../e2e/support/ports.ts';
import { eventually, REGISTRY } from '../support/cluster.ts';
import { HostileRegistry } from '../support/hostile-registry.ts';
import { makeImage } from '../support/registry-images.ts';
import { Rig, SHORT_HEARTBEAT_MS, supernodeIs, Way, type Node } from './rig.ts';

t.test(
  'dragonfly#4853, #4880: after a restart of the scheduler all goes to the origin, for it knows no cached blob',
  async (t) => {
    const rig = await Rig.start(t);
    const first = await rig.supernode();
    const [one, two] = [await rig.proxy([first.url]), await rig.proxy([first.url])];
    await first.states('ready', 'ready');
    t.equal(await rig.pull(one), rig.image.size);
    await first.service.stop();
    const second = await rig.supernode({ port: first.port });
    await second.states('ready', 'ready');
    await second.held(rig.image, 1);
    t.equal(await rig.pull(two), 0, 'who registers tells what it has');
  },
);

t.test('dragonfly#3350: a peer that has crashed is kept as a parent for hours', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode({ heartbeatMs: SHORT_HEARTBEAT_MS });
  const way = await Way.open(t, supernode.port);
  const [holder, other] = [await rig.proxy([way.url]), await rig.proxy([supernode.url])];
  await supernode.states('ready', 'ready');
  await rig.pull(holder);
  await supernode.held(rig.image, 1);
  // Its machine is gone: nothing ends its session, nothing answers at its piece port.
  way.freeze();
  const stale = await supernode.peer(holder, 'stale');
  t.match(stale.reason, /^nothing was heard of it for \d/);
  await holder.service.stop();
  t.equal(await rig.pull(other), rig.image.size, 'it is asked no more, and the pull goes on');
  t.same(
    other.lines.filter(({ code }) => code.startsWith('PEER_')),
    [],
    'nobody tries to reach it',
  );
  const left = await supernode.peer(holder, 'left');
  t.match(left.reason, /^nothing was heard of it for \d/);
});

t.test('dragonfly v1: a peer that ends without a goodbye is never forgotten', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode();
  const way = await Way.open(t, supernode.port);
  const node = await rig.proxy([way.url]);
  await supernode.peer(node, 'ready');
  way.cut();
  await eventually('it has noticed', async () => node.lines.some(({ code }) => code === 'SUPERNODE_LOST'));
  const back = await supernode.peer(node, 'ready');
  t.equal(back.reason, '');
  t.equal((await supernode.peers()).peers.length, 1);
});

t.test('dragonfly#4960, #4836: a seed that was removed is still chosen', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode();
  const [seed, other] = [await rig.proxy([supernode.url]), await rig.proxy([supernode.url])];
  await supernode.states('ready', 'ready');
  await rig.pull(seed);
  await supernode.held(rig.image, 1);
  await seed.service.stop();
  const left = await supernode.peer(seed, 'left');
  t.match(left, { reason: 'it stopped', blobs: 0 });
  t.equal(await rig.pull(other), rig.image.size);
  t.same(
    other.lines.filter(({ code }) => code.startsWith('PEER_')),
    [],
    'it is not tried',
  );
});

t.test('dragonfly PR#1875, PR#3016, client#551, client#590: the scheduler does not know the peer', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode({ heartbeatMs: SHORT_HEARTBEAT_MS });
  const way = await Way.open(t, supernode.port);
  const [node, other] = [await rig.proxy([way.url]), await rig.proxy([supernode.url])];
  await supernode.states('ready', 'ready');
  await rig.pull(node);
  await supernode.held(rig.image, 1);
  way.freeze();
  await supernode.peer(node, 'stale');
  await supernode.held(rig.image, 0);
  way.thaw();
  await supernode.peer(node, 'ready');
  await supernode.held(rig.image, 1);
  t.equal(await rig.pull(other), 0, 'it has registered again by itself, with all that it has');
});

t.test('dragonfly#701, #692, #700, #2911, #1344: no candidate parent can be found', async (t) => {
  const rig = await Rig.start(t);
  const supernode = await rig.supernode();
  // Nobody listens at what it advertises.
  const holder = await rig.proxy([supernode.url], { peer: { advertise: ['127.0.0.1:1'] } });
  const other = await rig.proxy([supernode.url]);
  await supernode.peer(other, 'ready');
  const { reason } = await supernode.peer({ pieces: '127.0.0.1:1' }, 'unreachable');
  t.match(reason, /^127\.0\.0\.1:1: .*ECONNREFUSED/, 'why it is none is said');
  await rig.pull(holder);
  await supernode.held(rig.image, 1);
  t.equal(await rig.pull(other), rig.image.size, 'the registry is asked, with no round of vain tries');
  t.same(
    other.lines.filter(({ code }) => code.startsWith('PEER_')),
    [],
  );
  // Two on one machine are candidates for each other.
  const third = await rig.proxy([supernode.url]);
  await supernode.peer(third, 'ready');
  await supernode.held(rig.image, 2);
  t.equal(await rig.pull(third), 0);
});

t.test(
  'dragonfly#3020, dragonfly-archived#451, #1034: a wrong address is advertised (NAT, several networks, IPv6)',
  async (t) => {
    const rig = await Rig.start(t);
    const supernode = await rig.supernode();
    const bad = await rig.proxy([supernode.url], { peer: { advertise: ['0.0.0.0:65002'] } });
    const said = await supernodeIs(bad, 'failed', 'BAD_ADDRESS');
    t.match(said.message, /0\.0\.0\.0:65002 is no address that others can connect to/);
    t.match(await supernode.refusal('BAD_ADDRESS'), { host: /./, address: '127.0.0.1' });
    t.equal(await rig.pull(bad), rig.image.size);
    // Of several addresses the one that works is used; here it is the last.
    const port = await freePort();
    const good = `127.0.0.2:${port}`;
    await rig.proxy([supernode.url], {
      peer: { listen: { host: '127.0.0.2', port }, advertise: ['192.0.2.1:65002', `[::1]:${port}`, good] },
    });
    const { addresses } = await supernode.peer({ pieces: good }, 'ready');
    t.equal(addresses[0], good);
  },
);

t.test(
  'dragonfly-archived#1438, #1010, #753: no registration for private images, for the supernode has no token',
  async (t) => {
    const registry = await HostileRegistry.start();
    t.teardown(() => registry.close());
    const image = makeImage({ seed: 7, layers: [300_000] });
    registry.addImage('team/app', 'v1', image);
    registry.auth.mode = 'basic';
    registry.auth.users.set('ann', 'secret-of-ann');
    registry.auth.privateRepositories.add('team/app');
    const rig = await Rig.start(t);
    const supernode = await rig.supernode();
    const passwordFile = `${t.testdirName}/password`;
    writeFileSync(passwordFile, 'secret-of-ann\n', { mode: 0o600 });
    const upstream = { url: registry.url, insecure: false, allow: [] };
    const upstreams = { [REGISTRY]: { ...upstream, username: 'ann', passwordFile } };
    const [one, two, stranger] = [
      await rig.proxy([supernode.url], { upstreams }),
      await rig.proxy([supernode.url], { upstreams }),
      await rig.proxy([supernode.url], { upstreams: { [REGISTRY]: upstream } }),
    ];
    await supernode.states('ready', 'ready', 'ready');
    const read = async ({ mirror }: Node) => {
      const response = await fetch(`${mirror}/v2/team/app/blobs/${image.layers[0]!.digest}`);
      return { status: response.status, body: await response.text() };
    };
    for (const node of [one, two]) t.equal((await read(node)).status, 200);
    const refused = await read(stranger);
    t.equal(refused.status, 404);
    t.match(refused.body, /"code":"ORIGIN_UNAUTHORIZED"/, 'the registry’s own word, to the one whom it concerns');
    t.equal((await supernode.peers()).rejected.length, 0, 'registration has no part in it');
    await supernode.states('ready', 'ready', 'ready');
  },
);
