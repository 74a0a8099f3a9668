/**
 * The way to the supernode is slow, breaks in the middle of what is said, or leads some proxies to another one. Invariants I2, I3 and
 * I7: pulls go on, the registry is hardly read twice, and in the end all are with the same supernode, which knows all again.
 */
import t from 'tap';
import { TcpRelay, type Way } from '../../scripts/faults/tcp-relay.ts';
import type { Hawker } from '../e2e/support/hawker.ts';
import type { Swarm } from '../e2e/support/swarm.ts';
import { until, within } from '../e2e/support/wait.ts';
import type { HostileRegistry, TestBlob } from '../support/hostile-registry.ts';
import { catalogue } from './support/catalogue.ts';
import { fetched } from './support/crowd.ts';
import { metricsOf, sumOf } from './support/metrics.ts';
import { pull } from './support/pull.ts';
import type { Row } from './support/row.ts';
import type { Scene } from './support/scene.ts';
import { untilSo } from './support/until-so.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
/** Of each answer of the registry: nobody has all of a blob before the others ask. */
const ORIGIN_BYTES_PER_SECOND = 1.5 * MiB;
/** What a read that is cut short has on its way comes in vain. */
const MOST_COPIES = 1.15;
const PEER_BYTES = { name: 'hawker_client_bytes_total', labels: { source: 'peers' }, by: { atLeast: 1 } };
/** For what comes by itself, after waits of some seconds. */
const BY_ITSELF_MS = 30_000;

const SLOW_MS = 250;
const SLOW_NODES = 4;
const COLD = 12 * MiB;
/** Of one piece: they are read after a moment by who hears nothing. */
const SMALL = [600 * KiB, 610 * KiB, 620 * KiB];

const CUTS: readonly Way[] = ['onward', 'back', 'onward'];
const BEFORE = 300 * KiB;
/** At the rate of its holder it takes several seconds for each cut. */
const CUT = 24 * MiB;
const HOLDER = { peer: { listen: '127.0.0.1:0', uploadLimit: '2MiB' } };

const APART = 6 * MiB + 77;

async function relayBefore(scene: Scene, { url }: Swarm, delayMs = 0): Promise<TcpRelay> {
  const { hostname, port } = new URL(url);
  const relay = await TcpRelay.start('127.0.0.1', { host: hostname, port: Number(port) }, delayMs);
  scene.rig.onClose(() => relay.close());
  return relay;
}

/** How often the registry has given the blobs, all of them together. */
function copiesOf({ requests }: HostileRegistry, blobs: readonly TestBlob[]): number {
  const given = requests.filter(({ path }) => blobs.some(({ digest }) => path.includes(digest)));
  const size = blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return given.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0) / size;
}

function copyFaults(what: string, registry: HostileRegistry, blobs: readonly TestBlob[]): string[] {
  const copies = copiesOf(registry, blobs);
  t.comment(`${copies.toFixed(3)} copies of ${what} left the registry`);
  return copies <= MOST_COPIES ? [] : [`${copies.toFixed(2)} copies of ${what} left the registry`];
}

async function readyAt(swarm: Swarm): Promise<number> {
  const { peers } = await swarm.peers();
  return peers.filter(({ state }) => state === 'ready').length;
}

const ROWS: Row[] = [
  {
    id: 'supernode/slow',
    fault: `${SLOW_MS} ms to the supernode and ${SLOW_MS} ms back, while ${SLOW_NODES} nodes pull a cold image`,
    seen: { kind: 'whole', source: /mixed|peers|origin/ },
    codes: [],
    moved: [PEER_BYTES],
    blamed: { who: 'nobody: one copy of each blob leaves the registry' },
    without: {
      taken: 'waiting longer for a supernode that is far away',
      edits: [
        {
          file: 'p2p/peer/remote-coordinator.js',
          find: 'SMALL_SILENCE_RTTS * (this.#link?.rttMs ?? 0)',
          replace: '0',
        },
      ],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [COLD, ...SMALL] });
      const { registry, image } = origin;
      const swarm = await scene.swarm(registry.url);
      const relay = await relayBefore(scene, swarm, SLOW_MS);
      relay.become('slow');
      const config = { supernodes: [relay.url] };
      const nodes: Hawker[] = [];
      for (let i = 1; i <= SLOW_NODES; i += 1) {
        nodes.push(await scene.join(swarm, `node-${i}`, registry.url, { config }));
      }
      for (const node of nodes) await scene.resolve(node, origin);
      registry.faults.bytesPerSecond = ORIGIN_BYTES_PER_SECOND;
      const pulls = await Promise.all(nodes.flatMap((node) => image.layers.map((layer) => pull(node, layer))));
      const [cold, ...small] = image.layers;
      const faults = [
        ...copyFaults('the large blob', registry, [cold!]),
        ...copyFaults('the small blobs', registry, small),
      ];
      return { node: nodes[0]!, pulls, faults };
    },
  },
  {
    id: 'supernode/messages-lost',
    fault: `the connection to the supernode breaks in the middle of a message, ${CUTS.length} times in one pull`,
    seen: { kind: 'whole', source: /mixed|peers/ },
    codes: ['SUPERNODE_LOST'],
    mayLog: ['SUPERNODE_FLAPPING'],
    moved: [PEER_BYTES],
    blamed: { who: 'the supernode', code: 'SUPERNODE_LOST', field: 'url' },
    without: {
      taken: 'telling the supernode again what is here',
      edits: [
        {
          file: 'p2p/peer/session.js',
          find: `void this.#announce(link, 'full');`,
          replace: `if (!this.hasTold) void this.#announce(link, 'full'); this.hasTold = true;`,
        },
      ],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [BEFORE, CUT] });
      const { registry, image } = origin;
      const [before, cut] = image.layers as [TestBlob, TestBlob];
      const swarm = await scene.swarm(registry.url);
      const relay = await relayBefore(scene, swarm);
      const holder = await swarm.join('holder', HOLDER, scene.main);
      await scene.resolve(holder, origin);
      for (const layer of image.layers) await pull(holder, layer);
      const digests = image.layers.map(({ digest }) => digest);
      await swarm.held('the holder has all', digests, 1);
      const node = await scene.join(swarm, 'node', registry.url, { config: { supernodes: [relay.url] } });
      await scene.resolve(node, origin);
      await pull(node, before);
      await swarm.held('the node has the first', [before.digest], 2);
      const pulling = pull(node, cut);
      await fetched(node, BEFORE + MiB);
      for (const [index, way] of CUTS.entries()) {
        await within('a message that is cut', BY_ITSELF_MS, relay.cutNext(way));
        if (index === CUTS.length - 1) break;
        await until('the node is back', BY_ITSELF_MS, () => node.logged('SUPERNODE_CONNECTED').length === index + 2);
      }
      const pulls = [await pulling];
      const known = await untilSo(BY_ITSELF_MS, async () => {
        const ready = await readyAt(swarm);
        const { blobs } = await swarm.blobs();
        const holders = digests.map((digest) => blobs.find((blob) => blob.digest === digest)?.holders.length ?? 0);
        return [
          ...(ready === 2 ? [] : [`${ready} of 2 peers are ready again`]),
          ...(holders.every((count) => count === 2)
            ? []
            : [`of 2 that have the blobs it knows ${holders.join(' and ')}`]),
        ];
      });
      const lost = node.logged('SUPERNODE_LOST').length;
      const faults = [
        ...known,
        ...(lost === CUTS.length ? [] : [`${lost} sessions were lost, not ${CUTS.length}`]),
        ...copyFaults('the blobs', registry, image.layers),
      ];
      return { node, pulls, faults, blamed: relay.url };
    },
  },
  {
    id: 'supernode/two-views',
    fault:
      'one of two nodes does not reach the first supernode of the list, and is with the second until the way is free',
    seen: { kind: 'whole', source: /mixed|peers|origin/ },
    codes: ['SUPERNODE_UNREACHABLE'],
    moved: [PEER_BYTES],
    blamed: { who: 'the supernode', code: 'SUPERNODE_UNREACHABLE', field: 'url' },
    without: {
      taken: 'looking for those earlier in the list',
      edits: [{ file: 'p2p/peer/supernode-search.js', find: 'lane.lookBack(keep);', replace: 'lane.stop(keep);' }],
    },
    async run(scene) {
      const origin = await scene.origin({ layers: [APART, APART + 1] });
      const { registry, image } = origin;
      const [early, late] = image.layers as [TestBlob, TestBlob];
      const first = await scene.swarm(registry.url, { name: 'supernode-1' });
      const second = await scene.swarm(registry.url, { name: 'supernode-2' });
      const relay = await relayBefore(scene, first);
      await relay.down();
      const listOf = (url: string) => ({ config: { supernodes: [url, second.url] } });
      const one = await scene.join(first, 'one', registry.url, listOf(first.url));
      const other = await scene.join(second, 'other', registry.url, listOf(relay.url));
      const nodes = [one, other];
      for (const node of nodes) await scene.resolve(node, origin);
      registry.faults.bytesPerSecond = ORIGIN_BYTES_PER_SECOND;
      const apart = await Promise.all(nodes.map((node) => pull(node, early)));
      const alone = sumOf(await metricsOf(other), PEER_BYTES.name, PEER_BYTES.labels);
      await relay.up();
      const together = await untilSo(BY_ITSELF_MS, async () => {
        const [ready, left] = await Promise.all([readyAt(first), readyAt(second)]);
        return ready === 2 && left === 0
          ? []
          : [`${ready} nodes are with the first supernode, ${left} with the second`];
      });
      const connected = sumOf(await metricsOf(other), 'hawker_supernode_connected', { url: relay.url });
      const shared = await Promise.all(nodes.map((node) => pull(node, late)));
      const faults = [
        ...(alone === 0 ? [] : ['the two were not apart']),
        ...together,
        ...(connected === 1 ? [] : ['the node does not say that it is with the first supernode']),
        ...copyFaults('what both pull then', registry, [late]),
      ];
      return { node: other, pulls: [...apart, ...shared], faults, blamed: relay.url };
    },
  },
];

// Several processes start for each row, on a machine that may have other things to do.
const BOUND_MS = 150_000;

catalogue(
  t,
  ROWS.map((row) => ({ ...row, boundMs: BOUND_MS })),
);
