/**
 * Several nodes, each with a real client, as one swarm: one copy from the origin (I3), the rest from each other; the supernode
 * killed in the middle (I2, I7); ranges; what containerd has; who may take part (I4).
 */
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { PROOF_BYTES, WHOLE_BYTES } from '../../src/proxy/proofs.ts';
import { CLIENT_PROGRAMS, ORIGIN_PROGRAMS } from './support/clients/all.ts';
import { hashFile } from './support/clients/client.ts';
import { containerd } from './support/clients/containerd.ts';
import { curl } from './support/clients/curl.ts';
import { docker } from './support/clients/docker.ts';
import { podman } from './support/clients/podman.ts';
import { Hawker } from './support/hawker.ts';
import { publishImage, publishIndex, publishLarge, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { must, run } from './support/programs.ts';
import { Relay } from './support/relay.ts';
import { e2e, type Rig } from './support/rig.ts';
import { metricOf, Swarm } from './support/swarm.ts';
import { until, within } from './support/wait.ts';

const MiB = 1024 * 1024;
const STEP_BOUND_MS = 20_000;
/** Of the origin's link: less than a node can take in. */
const ORIGIN_RATE = 16 * MiB;
const PULL_BOUND_MS = 120_000;
/** Of the origin's bytes, what a read that is cut may have had on its way already. */
const MOST_COPIES = 1.02;

interface Scene {
  readonly rig: Rig;
  readonly origin: Origin;
  readonly relay: Relay;
  readonly swarm: Swarm;
}

async function scene(rig: Rig): Promise<Scene> {
  const origin = await Origin.start(rig);
  const relay = await Relay.start(origin.url);
  rig.onClose(() => relay.close());
  return { rig, origin, relay, swarm: await Swarm.start(rig, relay.url) };
}

function blobsOf(images: readonly Published[]): Map<string, number> {
  return new Map(images.flatMap((image) => image.images.flatMap((one) => [...one.blobs])));
}

/** Fetches a blob by curl; the digest of what came. */
async function fetchBlob(rig: Rig, proxy: Hawker, { repository }: Published, digest: string): Promise<string> {
  const file = join(rig.dir, `blob-${proxy.pieces.replace(':', '-')}`);
  const url = `${proxy.url}/v2/${repository}/blobs/${digest}`;
  await must('curl', ['--silent', '--show-error', '--fail', '--output', file, url], { boundMs: PULL_BOUND_MS });
  return hashFile(file);
}

e2e(
  t,
  'docker, containerd, podman and curl, each through a proxy of its own, cold and at once',
  [...ORIGIN_PROGRAMS, ...CLIENT_PROGRAMS],
  async (t, rig) => {
    const { origin, relay, swarm } = await scene(rig);
    const images = [await publishImage(rig, origin), await publishIndex(rig, origin)];
    const proxies: Hawker[] = [];
    for (const name of ['node-a', 'node-b', 'node-c', 'node-d']) proxies.push(await swarm.join(name));
    const [a, b, c, d] = proxies as [Hawker, Hawker, Hawker, Hawker];
    relay.paceTo(ORIGIN_RATE);
    const clients = [await docker(rig, a), await containerd(rig, b), await podman(rig, c), curl(rig, d)];

    await Promise.all(
      clients.map(async (client) => {
        for (const image of images) {
          t.same(await client.pull(image, 'docker.io'), client.expected(image), `${client.name}: ${image.repository}`);
        }
      }),
    );
    checkCopies(t, relay, images);
    const fromPeers = await Promise.all(proxies.map((proxy) => metricOf(proxy, 'hawker_peer_bytes_total', '"in"')));
    t.ok(fromPeers.filter((bytes) => bytes > MiB).length >= 2, `they gave each other pieces: ${fromPeers.join(', ')}`);

    await relay.down();
    const native = images.flatMap(({ native }) => [...native.blobs.keys()]);
    await swarm.held('every node holds what its client pulled', native, proxies.length);
    const blobs = await swarm.ask('blobs', '--json');
    t.equal(blobs.code, 0, blobs.stderr);
    t.match(JSON.parse(blobs.stdout), { blobs: [{ holders: Array }] });
    const peers = await swarm.ask('peers');
    t.match(peers.stdout, /^4 peers at .*: 4 ready\./, peers.stderr);
  },
);

/** What left the origin is one copy, manifests and small blobs included. */
function checkCopies(t: Test, relay: Relay, images: readonly Published[]): void {
  const sizes = blobsOf(images);
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const bytes = [...sizes.keys()].reduce((sum, digest) => sum + relay.bytesOf(`/blobs/${digest}`), 0);
  t.ok(bytes >= total && bytes <= total * MOST_COPIES, `blobs: ${bytes} bytes left the origin, of ${total}`);
  for (const [digest, size] of sizes) {
    const reads = relay.gets(`/blobs/${digest}`).map(({ range, bytes }) => `${range ?? 'all'}: ${bytes}`);
    if (relay.bytesOf(`/blobs/${digest}`) > size) t.comment(`${digest}, ${size} bytes, read as ${reads.join('; ')}`);
  }
  const manifests = images.flatMap(({ digest, images }) => [digest, ...images.map(({ manifest }) => manifest.digest)]);
  const small = [
    ...[...sizes].filter(([, size]) => size <= MiB).map(([digest]) => `/blobs/${digest}`),
    ...manifests.map((digest) => `/manifests/${digest}`),
  ];
  const paths = [...new Set(small)];
  const again = paths.filter((path) => relay.gets(path).length !== 1).length;
  // While the machine is so busy that the supernode says nothing for 150 ms a node reads a small thing for itself.
  t.ok(
    again <= paths.length / 2,
    `small blobs and manifests are mostly read once: all but ${again} of ${paths.length}`,
  );
}

e2e(
  t,
  'the supernode is killed in the middle of a pull, and comes back',
  [...ORIGIN_PROGRAMS, 'curl'],
  async (t, rig) => {
    const { origin, relay, swarm } = await scene(rig);
    const image = await publishLarge(rig, origin, 'library/large', 64 * MiB);
    const layer = image.native.layers[0]!;
    const size = image.native.blobs.get(layer)!;
    const proxies = [await swarm.join('node-a'), await swarm.join('node-b'), await swarm.join('node-c')];
    for (const proxy of proxies) await fetchBlob(rig, proxy, image, image.native.config);

    relay.paceTo(ORIGIN_RATE);
    const hold = relay.holdOnce(`/blobs/${layer}`, 2 * MiB);
    const pulls = proxies.map((proxy) => fetchBlob(rig, proxy, image, layer));
    await within('2 MiB have left the origin', STEP_BOUND_MS, hold.reached);
    await swarm.killSupernode();
    await swarm.startSupernode();
    hold.release();
    for (const digest of await Promise.all(pulls)) t.equal(digest, layer, 'the pull went on, and is right');
    await swarm.ready('within 15 s every peer is known again', proxies);
    await swarm.held('and what it holds', [layer, image.native.config], proxies.length);
    const bytes = relay.bytesOf(`/blobs/${layer}`);
    t.comment(`${bytes} bytes of the layer left the origin, ${(bytes / size).toFixed(3)} copies`);

    await swarm.killSupernode();
    const status = await run('curl', ['--silent', '--fail', `http://${proxies[0]!.api}/api/v1/status`]);
    t.equal(status.code, 0, 'a node is well without a supernode');
    t.equal(await fetchBlob(rig, proxies[0]!, image, layer), layer, 'and serves what it has');
  },
);

e2e(t, 'a range takes the pieces that it needs, and no others', [...ORIGIN_PROGRAMS, 'curl'], async (t, rig) => {
  const { origin, relay, swarm } = await scene(rig);
  const image = await publishLarge(rig, origin, 'library/large', 96 * MiB);
  const layer = image.native.layers[0]!;
  const [a, b] = [await swarm.join('node-a'), await swarm.join('node-b')];
  const range = async (proxy: Hawker, start: number, end: number) => {
    const url = `${proxy.url}/v2/${image.repository}/blobs/${layer}`;
    const file = join(rig.dir, 'range');
    const args = ['--silent', '--show-error', '--fail', '--output', file, '--range', `${start}-${end - 1}`, url];
    await must('curl', args, { boundMs: PULL_BOUND_MS });
    return (await stat(file)).size;
  };
  const warmUp = image.native.config;
  for (const proxy of [a, b]) await fetchBlob(rig, proxy, image, warmUp);

  t.equal(await range(a, 50 * MiB, 51 * MiB + 10), MiB + 10);
  const cold = relay.bytesOf(`/blobs/${layer}`);
  t.ok(cold >= MiB && cold <= 12 * MiB, `${cold} bytes left the origin for one of ${MiB + 10}`);
  await until('the holder of these pieces is known', STEP_BOUND_MS, async () => {
    return (await swarm.blobs()).blobs.some(({ digest }) => digest === layer);
  });
  t.equal(await range(b, 50 * MiB, 51 * MiB), MiB);
  t.equal((await metricOf(b, 'hawker_peer_bytes_total', '"in"')) >= MiB, true, 'the second node has it from the first');
  t.equal(await fetchBlob(rig, b, image, layer), layer);
});

e2e(t, 'what containerd has is shared', [...ORIGIN_PROGRAMS, ...CLIENT_PROGRAMS], async (t, rig) => {
  const { origin, relay, swarm } = await scene(rig);
  const image = await publishImage(rig, origin);
  // It pulls from the registry itself, past any mirror.
  const client = await containerd(rig, { url: relay.url, address: new URL(relay.url).host });
  await client.pull(image, 'docker.io');
  const before = relay.bytesOf('');

  const root = join(rig.dir, 'containerd/root');
  await swarm.join('node-a', { store: { containerd: root } });
  const blobs = [...image.native.blobs.keys(), image.digest];
  await swarm.held('what containerd has is announced', blobs, 1);
  const b = await swarm.join('node-b');
  const other = curl(rig, b);
  t.same(await other.pull(image, 'docker.io'), other.expected(image));
  // Nobody knows whether it may be read without a credential: the registry proves each blob, by a few bytes or all of a small one.
  const proofs = [...image.native.blobs.values()].reduce(
    (sum, size) => sum + (size <= WHOLE_BYTES ? size : PROOF_BYTES),
    0,
  );
  const again = relay.bytesOf('') - before;
  t.ok(again <= 2 * proofs + WHOLE_BYTES, `${again} bytes of it left the origin again: the proofs, and no more`);
  t.ok((await metricOf(b, 'hawker_client_bytes_total', '"peers"')) > 24 * MiB);
});

e2e(t, 'who has no secret, or another one, takes no part', [...ORIGIN_PROGRAMS, 'curl'], async (t, rig) => {
  const { origin, relay, swarm } = await scene(rig);
  const image = await publishLarge(rig, origin, 'library/small', 3 * MiB);
  const layer = image.native.layers[0]!;
  const a = await swarm.join('node-a');
  await fetchBlob(rig, a, image, layer);
  const stranger = async (...header: string[]) => {
    const args = ['--silent', '--output', join(rig.dir, 'stolen'), '--write-out', '%{http_code} %{size_download}'];
    return must('curl', [
      ...args,
      ...header.flatMap((one) => ['--header', one]),
      `http://${a.pieces}/v1/blobs/${layer}`,
    ]);
  };
  t.equal(await stranger(), '403 0');
  t.equal(
    await stranger('Authorization: Hawker 1.somebody-000.abc.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
    '403 0',
  );

  const secretFile = join(rig.dir, 'other-secret');
  await writeFile(secretFile, `${'x'.repeat(40)}\n`, { mode: 0o600 });
  const config = { supernodes: [swarm.url], cluster: { secretFile } };
  const b = await Hawker.start(rig, 'node-b', relay.url, { command: 'proxy', config });
  await until('its registration is refused, and listed', STEP_BOUND_MS, async () => {
    return (await swarm.peers()).rejected.some(({ code }) => code === 'NOT_A_MEMBER');
  });
  const { stdout } = await swarm.ask('peers');
  t.match(stdout, /NOT_A_MEMBER/, 'hawker peers says so');
  t.equal(await fetchBlob(rig, b, image, layer), layer, 'its own clients are served all the same, from the origin');
  t.equal(relay.bytesOf(`/blobs/${layer}`), 2 * image.native.blobs.get(layer)!);
});
