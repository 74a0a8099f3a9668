/**
 * An operator has four nodes fetch an image from a real registry before anybody pulls it: one copy leaves the registry (I3), and then real clients
 * pull it on each node without another byte of it.
 */
import t from 'tap';
import { CLIENT_PROGRAMS, ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { containerd } from './support/clients/containerd.ts';
import { curl } from './support/clients/curl.ts';
import { docker } from './support/clients/docker.ts';
import { podman } from './support/clients/podman.ts';
import type { Hawker } from './support/hawker.ts';
import { publishIndex, publishLarge } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { Relay } from './support/relay.ts';
import { e2e } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';
import { until } from './support/wait.ts';

interface View {
  readonly state: string;
  readonly digest: string;
  readonly peers: readonly { state: string; blobs: number; blobsHere: number; bytes: number }[];
}

async function downloadsOf({ api }: Hawker): Promise<number> {
  const answer = await fetch(`http://${api}/api/v1/status`);
  return ((await answer.json()) as { downloads: unknown[] }).downloads.length;
}

e2e(
  t,
  'four nodes are preheated, and docker, containerd, podman and curl pull without a byte of the registry',
  [...ORIGIN_PROGRAMS, ...CLIENT_PROGRAMS],
  async (t, rig) => {
    const origin = await Origin.start(rig);
    const relay = await Relay.start(origin.url);
    rig.onClose(() => relay.close());
    const swarm = await Swarm.start(rig, relay.url);
    const image = await publishIndex(rig, origin);
    const proxies: Hawker[] = [];
    for (const name of ['node-a', 'node-b', 'node-c', 'node-d']) proxies.push(await swarm.join(name));
    const [a, b, c, d] = proxies as [Hawker, Hawker, Hawker, Hawker];

    const name = `docker.io/${image.repository}:v1`;
    const ordered = await swarm.ask('preheat', name, '--platform', 'all', '--json');
    t.equal(ordered.code, 0, ordered.stderr + ordered.stdout);
    const view = JSON.parse(ordered.stdout) as View;
    t.equal(view.digest, image.digest);
    t.same(
      view.peers.map(({ state, blobs, blobsHere }) => [state, blobs === blobsHere]),
      proxies.map(() => ['done', true]),
    );
    const native = [...image.native.blobs];
    for (const [digest, size] of native) {
      t.ok(relay.bytesOf(`/blobs/${digest}`) <= size * 1.02, `one copy of ${digest}, of ${size} bytes`);
    }
    const bytes = () => relay.bytesOf('/blobs/') + relay.bytesOf('/manifests/');
    const before = bytes();
    t.comment(`${before} bytes left the registry for ${proxies.length} nodes, ${view.peers[0]!.bytes} each`);

    const clients = [await docker(rig, a), await containerd(rig, b), await podman(rig, c), curl(rig, d)];
    for (const client of clients) {
      t.same(await client.pull(image, 'docker.io'), client.expected(image), client.name);
      t.equal(bytes() - before, 0, `${client.name}: no byte of it left the registry`);
    }

    const clean = bytes();
    relay.paceTo(3_000_000);
    const large = await publishLarge(rig, origin, 'library/large', 60_000_000);
    const order = [`docker.io/${large.repository}:v1`, '--platform', 'all', '--json'];
    const { id } = JSON.parse((await swarm.ask('preheat', ...order, '--no-wait')).stdout) as { id: string };
    await until('bytes of it leave the registry', 20_000, () => bytes() > clean + 1_000_000);
    const cancelled = await swarm.ask('preheat', '--cancel', id, '--json');
    t.equal(cancelled.code, 0, cancelled.stderr);
    t.match(JSON.parse(cancelled.stdout), { state: 'cancelled', counts: { cancelled: 4, running: 0 } });
    await until('no node fetches it any more', 20_000, async () => {
      const statuses = await Promise.all(proxies.map((proxy) => downloadsOf(proxy)));
      return statuses.every((count) => count === 0);
    });
    const left = bytes() - clean;
    t.ok(left < 40_000_000, `${left} bytes of 60 MB left the registry`);
    relay.paceTo(Infinity);

    const none = await swarm.ask('preheat', `docker.io/${image.repository}:none`);
    t.equal(none.code, 1);
    t.match(none.stderr, /PREHEAT_INCOMPLETE: 4 of 4 peers do not have the image: .*ORIGIN_NOT_FOUND/);
  },
);
