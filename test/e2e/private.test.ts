/**
 * Private images (I4), with a real registry, a token service, and real clients: who may read at the registry pulls through any
 * node, cold and warm; who may not, and knows every digest, gets nothing from any of them.
 */
import t from 'tap';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { containerd } from './support/clients/containerd.ts';
import { docker } from './support/clients/docker.ts';
import { podman } from './support/clients/podman.ts';
import { skopeo } from './support/clients/skopeo.ts';
import { publishImage } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { freePort } from './support/ports.ts';
import { PrivateOrigin } from './support/private-origin.ts';
import { Relay } from './support/relay.ts';
import { e2e } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';

const ALICE = { name: 'alice', password: 'the-password-of-alice' };
const BOB = { name: 'bob', password: 'the-password-of-bob' };

e2e(
  t,
  'a private image, through two nodes',
  [...ORIGIN_PROGRAMS, 'containerd', 'ctr', 'dockerd', 'podman', 'skopeo'],
  async (t, rig) => {
    const image = await publishImage(rig, await Origin.start(rig));
    const registry = await PrivateOrigin.start(rig, [ALICE, BOB], { [image.repository]: ALICE.name });
    const relay = await Relay.start(registry.url);
    rig.onClose(() => relay.close());
    const swarm = await Swarm.start(rig, relay.url);
    const bound = `127.0.0.1:${await freePort()}`;
    const upstreams = { 'docker.io': { url: relay.url, allow: ['127.0.0.1'] } };
    const [one, two] = [
      await swarm.join('one', { upstreams }),
      await swarm.join('two', {
        upstreams,
        proxy: {
          listen: '127.0.0.1:0',
          defaultUpstream: 'docker.io',
          listeners: [{ listen: bound, upstream: 'docker.io' }],
        },
      }),
    ];
    const node = { url: `http://${bound}`, address: bound };
    const bob = await containerd(rig, one, 'bob', BOB);
    await t.rejects(bob.pull(image, 'docker.io'), 'bob, cold');
    const alice = await containerd(rig, one, 'alice', ALICE);
    t.same(await alice.pull(image, 'docker.io'), alice.expected(image), 'alice, cold, by containerd');
    await swarm.held('the first node has it', image.native.blobs.keys(), 1);
    const cold = relay.bytesOf('/blobs/');
    const hers = await docker(rig, node, 'dockerd-alice', ALICE);
    t.same(await hers.pull(image, 'docker.io'), hers.expected(image), 'alice, by docker, through the other node');
    t.equal(relay.bytesOf('/blobs/'), cold, 'which takes it from the first');
    for (const make of [podman, skopeo]) {
      const { name } = make;
      // podman wants its paths short.
      const short = name.slice(0, 1);
      const by = await make(rig, node, { name: `${short}-alice`, login: ALICE, bound: true });
      t.same(await by.pull(image, 'docker.io'), by.expected(image), `alice, by ${name}, through the bound listener`);
      for (const [who, user] of [['bob', BOB] as const, ['nobody', undefined] as const]) {
        const denied = await make(rig, node, { name: `${short}-${who}`, bound: true, ...(user && { login: user }) });
        await t.rejects(denied.pull(image, 'docker.io'), `${who}, by ${name}, through the bound listener`);
      }
    }
    t.equal(relay.bytesOf('/blobs/'), cold, 'all of them from the nodes');
    await t.rejects(bob.pull(image, 'docker.io'), 'bob, warm');
    const digests = [`manifests/${image.digest}`, ...[...image.native.blobs.keys()].map((digest) => `blobs/${digest}`)];
    const basic = `Basic ${Buffer.from(`${BOB.name}:${BOB.password}`).toString('base64')}`;
    for (const mirror of [one.url, two.url, node.url]) {
      for (const path of digests) {
        for (const headers of [{}, { authorization: basic }, { authorization: 'Bearer forged' }]) {
          const url = `${mirror}/v2/${image.repository}/${path}`;
          t.match((await fetch(url, { headers })).status, /401|404/, `bob, who knows the digest: ${path}`);
        }
      }
    }
    await relay.down();
    await t.rejects(bob.pull(image, 'docker.io'), 'bob, with the registry down');
    for (const { log } of [one, two].map((hawker) => ({ log: hawker.log() }))) {
      for (const { password } of [ALICE, BOB]) t.notOk(log.includes(password), 'no password in a log');
      t.notMatch(log, /eyJ[\w-]{20,}\./, 'and no token');
    }
  },
);
